/* SPDX-License-Identifier: GPL-2.0-or-later */
/* words.js - every text of the page in English and Japanese; {0} {1} are filled in
 * Reasons, errors and checks come from the agent as they stand in its journal and log. */
const en = {
  skip: "Skip to content", title: "vmm-agent", other_lang: "日本語", other_lang_label: "日本語に切り替える",
  theme_auto: "Theme: system", theme_light: "Theme: light", theme_dark: "Theme: dark",
  login_title: "Secret needed", login_label: "Secret", login_button: "Open",
  login_text: "Give the line in the agent's token file (by default /var/lib/vmm-agent/api.token). It is kept until this tab is closed.",
  login_wrong: "The agent did not accept this secret.", login_wait: "Too many wrong secrets; the agent asks to wait {0} s.",
  live: "live", connecting: "connecting", silent: "no answer for {0} s", ready: "ready", recovering: "finding out what is true", paused: "new moves paused",
  scale: "{0} × time", slot_ends: "slot ends in {0} s",
  alerts: "A person must look", since: "since {0}", check: "Check: ",
  sites: "Sites", paper: "on paper", site_power: "Power now", site_limit: "of {0}", site_surplus: "Surplus", site_price: "Price", site_vms: "Machines", site_green: "Renewable", site_battery: "Battery",
  legend_surplus: "surplus", legend_load: "load measured", legend_plan: "load planned", legend_price: "price", legend_limit: "limit", legend_unknown: "unknown",
  yen_kwh: "yen/kWh", unknown: "unknown",
  slot: "Half hour", slot_now: "Now", slot_is_now: "{0} (now)", at_slot: "At {0}",
  site_chart: "{0}: surplus, load and price for 48 half hours. Highest surplus {1} at {2}. Now {3} of load, {4} of surplus.",
  plan: "Plan of the day", plan_cost: "Expected cost", plan_stay: "Moving nothing", plan_saves: "Saves", plan_gap: "Proven within", plan_made: "Made at", plan_solved: "Solved in",
  plan_none: "No plan yet.", plan_none_why: "No plan: {0}", plan_note: "Why nothing moves: {0}", plan_nothing: "Nothing moves in this plan: {0}", plan_more: "{0} more rows are in the table.",
  gantt_chart: "Which group of machines runs at which site, in half hours. The same as a table follows.",
  as_table: "As a table", planned: "plan", group: "Group", count: "Machines", stays: "Where and when", from_until: "{0} {1}–{2}",
  decisions: "Moves of this half hour, made or not, and why", decisions_none: "The plan asks for no move in this half hour.",
  migrations: "Migrations", moves_note: "{0} under way, {1} waiting", moves_none: "Nothing is moving.", moves_queue: "Waiting", moves_past: "Ended",
  rate: "Rate", in_flight: "In flight", predicted: "Blackout predicted", actual: "Blackout", left: "Left", moved: "Moved", took: "Took", vm: "Machine", path: "From → to", result: "Result", when: "When", waits: "Waits for", benefit: "Benefit", why: "Why",
  attempt: "attempt {0}", spark: "Rate of the last half minute", progress_of: "Progress of {0}", show_all_past: "Show all {0}",
  dr: "Demand response", dr_none: "No event, nothing armed.", dr_sites: "Sites taking part", dr_guests: "Machines held ready or held back", dr_events: "Events", dr_delivered: "Delivered", dr_asked: "Asked", dr_done: "Reached", dr_missing: "Missing", dr_response: "Power changed after", dr_limit: "of {0} s",
  dr_open: "under way", dr_ended: "ended", dr_coming: "coming", dr_cancelled: "cancelled", dr_opted_out: "opted out", dr_answering: "answering", dr_ready: "ready", dr_reference: "before {0}", dr_change: "Change", dr_energy: "Energy",
  dr_frequency: "Frequency", dr_droop: "Answer to it", dr_copy: "copy held at {0}", dr_copy_made: "copy being made at {0}", dr_origin_vtn: "OpenADR", dr_origin_local: "triggered here", dr_origin_frequency: "frequency",
  dr_hand_capped: "capped", dr_hand_paused: "paused", dr_hand_releasing: "switching over", dr_hand_moving: "moving",
  measure_battery: "battery", measure_release: "switch to held copy", measure_cap: "cap", measure_restore: "restore", measure_pause: "pause", measure_migrate: "move",
  links: "Paths", link_busy: "busy {0} %", link_rate: "{0} of {1} Gb/s measured", link_moves: "{0} moving, {1} waiting", link_unmeasured: "{0} Gb/s declared", links_none: "No path is declared.",
  hosts: "Hosts", host: "Host", host_cpu: "Cores", host_ram: "Memory", host_power: "Power", host_up: "up", host_down: "no answer", host_drained: "drained", hosts_none: "No host yet.",
  vms: "Machines, and why each is where it is", state: "State", site: "Site", power: "Power", wanted: "→ {0} wanted", wanted_note: "plan wants {0}", filter: "Filter", show: "Show", show_all: "all", show_attention: "needing a person", show_moving: "moving or waiting", show_elsewhere: "not where the plan wants them",
  vms_none: "No machine fits the filter.", vms_empty: "The agent knows no machine yet.", more: "Show {0} more", explain: "Explain", explain_hide: "Hide", explain_failed: "The agent gave no explanation: {0}", moves: "Moves",
  foot: "vmm-agent {0} · start {1} · {2} MiB · times are Japan time (UTC+9)",
  said_end: "{0}: {1}", said_begin: "{0} is moving from {1} to {2}", said_alert: "A person must look: {0}",
  state_running: "running", state_paused: "paused", state_moving: "moving", state_unknown: "unknown", state_absent: "absent", state_queued: "waiting", state_held: "held", state_done: "done", state_failed: "failed", state_cancelled: "cancelled", state_skipped: "not made",
  stage_preflight: "preflight", stage_start: "start", stage_match: "match", stage_disks: "disks", stage_listen: "listen", stage_transfer: "transfer", stage_settle: "settle", stage_announce: "announce", stage_release: "release", stage_undo: "taking back",
  origin_plan: "plan", origin_person: "person", origin_drain: "drain", origin_dr: "demand response",
};
const ja = {
  skip: "本文へ移動", title: "vmm-agent", other_lang: "English", other_lang_label: "Switch to English",
  theme_auto: "配色:端末に合わせる", theme_light: "配色:明", theme_dark: "配色:暗",
  login_title: "認証が必要です", login_label: "トークン", login_button: "開く",
  login_text: "エージェントのトークンファイル(既定は /var/lib/vmm-agent/api.token)の1行を入力してください。このタブを閉じるまで保持されます。",
  login_wrong: "このトークンは受け付けられませんでした。", login_wait: "誤ったトークンが多すぎます。{0}秒待ってください。",
  live: "接続中", connecting: "接続しています", silent: "{0}秒間応答なし", ready: "稼働中", recovering: "実状を確認中", paused: "新規移動を停止中",
  scale: "{0}倍速", slot_ends: "コマ終了まで{0}秒",
  alerts: "人の確認が必要です", since: "{0}から", check: "確認事項:",
  sites: "拠点", paper: "机上のみ", site_power: "現在の電力", site_limit: "/ 上限{0}", site_surplus: "余剰", site_price: "価格", site_vms: "VM", site_green: "再エネ率", site_battery: "蓄電池",
  legend_surplus: "余剰電力", legend_load: "負荷(実測)", legend_plan: "負荷(計画)", legend_price: "価格", legend_limit: "上限", legend_unknown: "不明",
  yen_kwh: "円/kWh", unknown: "不明",
  slot: "コマ", slot_now: "現在", slot_is_now: "{0}(現在)", at_slot: "{0}",
  site_chart: "{0}:48コマの余剰電力・負荷・価格。余剰の最大は{2}の{1}。現在の負荷{3}、余剰{4}。",
  plan: "本日の計画", plan_cost: "見込み費用", plan_stay: "移動しない場合", plan_saves: "削減額", plan_gap: "最適との差(証明済)", plan_made: "作成", plan_solved: "計算時間",
  plan_none: "計画はまだありません。", plan_none_why: "計画なし:{0}", plan_note: "移動しない理由:{0}", plan_nothing: "この計画では移動なし:{0}", plan_more: "ほか{0}行は表にあります。",
  gantt_chart: "VMグループがどのコマにどの拠点で動くか。同じ内容の表が続きます。",
  as_table: "表で見る", planned: "計画", group: "グループ", count: "台数", stays: "拠点と時間帯", from_until: "{0} {1}〜{2}",
  decisions: "このコマの移動と、した理由・しなかった理由", decisions_none: "このコマに計画された移動はありません。",
  migrations: "ライブマイグレーション", moves_note: "実行中{0}、待機{1}", moves_none: "移動中のVMはありません。", moves_queue: "待機中", moves_past: "完了・終了",
  rate: "速度", in_flight: "伝送中", predicted: "停止時間(予測)", actual: "停止時間", left: "残り", moved: "転送量", took: "所要", vm: "VM", path: "移動", result: "結果", when: "時刻", waits: "待ちの理由", benefit: "効果", why: "理由",
  attempt: "{0}回目", spark: "直近30秒の速度", progress_of: "{0}の進捗", show_all_past: "全{0}件を表示",
  dr: "デマンドレスポンス", dr_none: "発動・待機ともにありません。", dr_sites: "参加拠点", dr_guests: "待機・抑制中のVM", dr_events: "イベント", dr_delivered: "実績", dr_asked: "要請", dr_done: "到達", dr_missing: "不足", dr_response: "電力変化まで", dr_limit: "/ {0}秒以内",
  dr_open: "発動中", dr_ended: "終了", dr_coming: "予定", dr_cancelled: "取消", dr_opted_out: "不参加", dr_answering: "応答中", dr_ready: "待機", dr_reference: "発動前{0}", dr_change: "変化量", dr_energy: "電力量",
  dr_frequency: "周波数", dr_droop: "周波数応答", dr_copy: "{0}にコピーを保持", dr_copy_made: "{0}にコピーを作成中", dr_origin_vtn: "OpenADR", dr_origin_local: "手動発動", dr_origin_frequency: "周波数",
  dr_hand_capped: "CPU制限", dr_hand_paused: "一時停止", dr_hand_releasing: "切替中", dr_hand_moving: "移動中",
  measure_battery: "蓄電池", measure_release: "保持コピーへ切替", measure_cap: "CPU制限", measure_restore: "復帰", measure_pause: "一時停止", measure_migrate: "移動",
  links: "経路", link_busy: "使用率{0}%", link_rate: "実測{0} / {1} Gb/s", link_moves: "実行中{0}、待機{1}", link_unmeasured: "{0} Gb/s(公称)", links_none: "経路の定義がありません。",
  hosts: "ホスト", host: "ホスト", host_cpu: "コア", host_ram: "メモリ", host_power: "電力", host_up: "稼働", host_down: "応答なし", host_drained: "退避中", hosts_none: "ホストはまだありません。",
  vms: "VMと、その場所にいる理由", state: "状態", site: "拠点", power: "電力", wanted: "→ {0}", wanted_note: "計画では{0}", filter: "絞り込み", show: "表示", show_all: "すべて", show_attention: "要確認のみ", show_moving: "移動中・待機中", show_elsewhere: "計画と異なる拠点",
  vms_none: "条件に合うVMはありません。", vms_empty: "VMはまだ登録されていません。", more: "さらに{0}件", explain: "経緯", explain_hide: "閉じる", explain_failed: "説明を取得できません:{0}", moves: "移動回数",
  foot: "vmm-agent {0} · 起動{1}回目 · {2} MiB · 時刻は日本時間",
  said_end: "{0}:{1}", said_begin: "{0}を{1}から{2}へ移動中", said_alert: "人の確認が必要です:{0}",
  state_running: "稼働", state_paused: "一時停止", state_moving: "移動中", state_unknown: "不明", state_absent: "停止", state_queued: "待機", state_held: "保持", state_done: "完了", state_failed: "失敗", state_cancelled: "取消", state_skipped: "見送り",
  stage_preflight: "事前確認", stage_start: "起動", stage_match: "照合", stage_disks: "ディスク", stage_listen: "受信準備", stage_transfer: "転送", stage_settle: "切替", stage_announce: "通知", stage_release: "解放", stage_undo: "取り消し中",
  origin_plan: "計画", origin_person: "手動", origin_drain: "退避", origin_dr: "DR",
};
const all = { en, ja };
let current = "en";

export function setLanguage(name) {
  current = all[name] ? name : "en";
  return current;
}

export const language = () => current;

/* The text of KEY; an unknown key (a state or stage of a newer agent) is shown as its own last part. */
export function word(key, ...parts) {
  const text = all[current][key] ?? en[key] ?? key.replace(/^[a-z]+_/, "");
  return text.replace(/\{(\d)\}/g, (whole, index) => parts[index] ?? "");
}

export const keys = () => [Object.keys(en), Object.keys(ja)];
