/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "api/auth.h"

#include <errno.h>
#include <fcntl.h>
#include <gnutls/crypto.h>
#include <gnutls/x509.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/log.h"

#define TOKEN_RANDOM_BYTES 32

/* A new secret: hexadecimal, readable by us alone, there as a whole or not at all. */
static int token_make(const char *path, struct agent_error *error)
{
    unsigned char random[TOKEN_RANDOM_BYTES];
    char text[2 * TOKEN_RANDOM_BYTES + 2];

    if (gnutls_rnd(GNUTLS_RND_KEY, random, sizeof(random)) < 0) {
        return agent_error_set(error, EIO, "api: no random bytes for a token");
    }
    for (size_t index = 0; index < sizeof(random); index++) {
        snprintf(text + 2 * index, 3, "%02x", random[index]);
    }
    strcat(text, "\n");
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return agent_error_set(error, errno, "api: token_file %s cannot be made: %s", path,
                               strerror(errno));
    }
    ssize_t wrote = write(fd, text, strlen(text));
    int status = wrote == (ssize_t)strlen(text) && fsync(fd) == 0 ? 0 : -EIO;
    close(fd);
    gnutls_memset(random, 0, sizeof(random));
    gnutls_memset(text, 0, sizeof(text));
    if (status < 0) {
        unlink(path);
        return agent_error_set(error, EIO, "api: token_file %s cannot be written", path);
    }
    return 0;
}

static int check_owner(const char *path, const struct stat *found, struct agent_error *error)
{
    if (!S_ISREG(found->st_mode)) {
        return agent_error_set(error, EINVAL, "api: %s is not a regular file", path);
    }
    if (found->st_uid != geteuid() && found->st_uid != 0) {
        return agent_error_set(error, EPERM, "api: %s belongs to uid %u, not to us (%u) or root",
                               path, (unsigned)found->st_uid, (unsigned)geteuid());
    }
    if ((found->st_mode & 077) != 0) {
        return agent_error_set(error, EPERM,
                               "api: %s has mode %04o: others can read the secret (chmod 600)",
                               path, (unsigned)(found->st_mode & 07777));
    }
    return 0;
}

/* The file into @token; a wrong file leaves no secret at all, so nobody gets in by an old one. */
static int token_read(struct agent_token *token, struct agent_error *error)
{
    char text[AGENT_TOKEN_MAX + 2];
    struct stat found;

    token->size = 0;
    memset(&token->seen, 0, sizeof(token->seen)); /* looked at again until it is right */
    int fd = open(token->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) {
        return agent_error_set(error, errno, "api: %s cannot be read: %s", token->path,
                               strerror(errno));
    }
    int status = fstat(fd, &found) < 0 ? -errno : check_owner(token->path, &found, error);
    ssize_t size = status < 0 ? 0 : read(fd, text, sizeof(text));
    close(fd);
    if (status < 0) {
        return status;
    }
    while (size > 0 && (text[size - 1] == '\n' || text[size - 1] == '\r')) {
        size--;
    }
    bool plain = size >= AGENT_TOKEN_MIN && size <= AGENT_TOKEN_MAX;
    for (ssize_t index = 0; index < size && plain; index++) {
        plain = text[index] > ' ' && text[index] < 0x7f;
    }
    if (!plain) {
        return agent_error_set(error, EINVAL,
                               "api: %s does not hold one line of %d..%d printable bytes",
                               token->path, AGENT_TOKEN_MIN, AGENT_TOKEN_MAX);
    }
    memcpy(token->bytes, text, (size_t)size);
    token->size = (size_t)size;
    token->seen = found;
    gnutls_memset(text, 0, sizeof(text));
    return 0;
}

/* Read again if the file is another one than before; a failure closes this way in. */
static void token_refresh(struct agent_token *token)
{
    struct stat found;

    if (token->path == NULL) {
        return;
    }
    if (stat(token->path, &found) < 0) {
        token->size = 0;
        memset(&token->seen, 0, sizeof(token->seen));
        return;
    }
    if (found.st_ino != token->seen.st_ino || found.st_mode != token->seen.st_mode ||
        found.st_size != token->seen.st_size || found.st_uid != token->seen.st_uid ||
        memcmp(&found.st_mtim, &token->seen.st_mtim, sizeof(found.st_mtim)) != 0) {
        struct agent_error error = {0};
        if (token_read(token, &error) < 0 && found.st_ctim.tv_sec != token->told_s) {
            token->told_s = found.st_ctim.tv_sec; /* once per change, not per request */
            agent_log(AGENT_LOG_WARNING, "api.token", NULL, "%s; nobody gets in by it", error.text);
        }
    }
}

/* A user who has no ~/.local/state yet gets one; a configured directory is its owner's to make. */
static void make_place(const char *path)
{
    static const char *const steps[] = {".local", ".local/state"};
    const char *home = getenv("HOME");
    char place[AGENT_API_FILE_MAX];

    for (size_t index = 0; index < 2 && home != NULL; index++) {
        int wanted = snprintf(place, sizeof(place), "%s/%s", home, steps[index]);
        if (wanted < 0 || (size_t)wanted >= sizeof(place) ||
            strncmp(path, place, (size_t)wanted) != 0 || path[wanted] != '/') {
            return;
        }
        mkdir(place, 0700);
    }
}

int agent_auth_open(struct agent_auth *auth, const struct agent_api_config *config,
                    struct agent_error *error)
{
    int status = 0;

    memset(auth, 0, sizeof(*auth));
    auth->config = config;
    if (config->tcp && config->token_path[0] != '\0') {
        auth->control.path = config->token_path;
        if (access(config->token_path, F_OK) < 0 && errno == ENOENT) {
            make_place(config->token_path);
            status = token_make(config->token_path, error);
        }
        status = status < 0 ? status : token_read(&auth->control, error);
    }
    if (status == 0 && config->tcp && config->watch_token_path[0] != '\0') {
        auth->watch.path = config->watch_token_path;
        status = token_read(&auth->watch, error);
    }
    return status;
}

void agent_auth_done(struct agent_auth *auth)
{
    gnutls_memset(auth, 0, sizeof(*auth));
}

/* Constant in the bytes of the secret: always AGENT_TOKEN_MAX compared, the length folded in. */
static bool same(const struct agent_token *token, const char *given, size_t size)
{
    char padded[AGENT_TOKEN_MAX] = {0};
    char secret[AGENT_TOKEN_MAX] = {0};
    bool fits = size >= AGENT_TOKEN_MIN && size <= sizeof(padded);

    memcpy(padded, given, fits ? size : 0);
    memcpy(secret, token->bytes, token->size);
    int differ = gnutls_memcmp(padded, secret, sizeof(padded));
    gnutls_memset(secret, 0, sizeof(secret));
    return fits && token->size > 0 && token->size == size && differ == 0;
}

enum agent_role agent_auth_bearer(struct agent_auth *auth, const char *header, char *caller)
{
    static const char scheme[] = "Bearer ";

    token_refresh(&auth->control);
    token_refresh(&auth->watch);
    if (header == NULL || strncasecmp(header, scheme, strlen(scheme)) != 0) {
        return AGENT_ROLE_NONE;
    }
    const char *given = header + strlen(scheme);
    size_t size = strlen(given);
    bool control = same(&auth->control, given, size);
    bool watch = same(&auth->watch, given, size);
    if (!control && !watch) {
        return AGENT_ROLE_NONE;
    }
    snprintf(caller, AGENT_CALLER_MAX, "%s", control ? "token" : "watch-token");
    return control ? AGENT_ROLE_CONTROL : AGENT_ROLE_WATCH;
}

/* Is @name among the names of @certificate that may command? The common name and DNS names count.
 */
static bool may_control(const struct agent_api_config *config, gnutls_x509_crt_t certificate,
                        const char *common)
{
    if (config->control_name_count == 0) {
        return true;
    }
    for (unsigned index = 0; index < config->control_name_count; index++) {
        const char *wanted = config->control_names[index];
        if (strcmp(wanted, common) == 0) {
            return true;
        }
        for (unsigned place = 0; place < 16; place++) {
            char name[AGENT_API_NAME_SIZE];
            size_t size = sizeof(name);
            int type = gnutls_x509_crt_get_subject_alt_name(certificate, place, name, &size, NULL);
            if (type == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE) {
                break;
            }
            if (type == GNUTLS_SAN_DNSNAME && size == strlen(wanted) &&
                memcmp(name, wanted, size) == 0) {
                return true;
            }
        }
    }
    return false;
}

enum agent_role agent_auth_certificate(const struct agent_auth *auth, gnutls_session_t session,
                                       char *caller)
{
    gnutls_typed_vdata_st purpose = {.type = GNUTLS_DT_KEY_PURPOSE_OID,
                                     .data = (unsigned char *)GNUTLS_KP_TLS_WWW_CLIENT};
    unsigned verdict = 0;
    unsigned count = 0;
    gnutls_x509_crt_t certificate;
    char common[AGENT_API_NAME_SIZE] = "";
    size_t size = sizeof(common);

    if (auth->config->client_ca_path[0] == '\0' || session == NULL) {
        return AGENT_ROLE_NONE;
    }
    const gnutls_datum_t *list = gnutls_certificate_get_peers(session, &count);
    if (list == NULL || count == 0 ||
        gnutls_certificate_verify_peers(session, &purpose, 1, &verdict) < 0 || verdict != 0 ||
        gnutls_x509_crt_init(&certificate) < 0) {
        return AGENT_ROLE_NONE;
    }
    enum agent_role role = AGENT_ROLE_NONE;
    if (gnutls_x509_crt_import(certificate, &list[0], GNUTLS_X509_FMT_DER) == 0) {
        if (gnutls_x509_crt_get_dn_by_oid(certificate, GNUTLS_OID_X520_COMMON_NAME, 0, 0, common,
                                          &size) < 0) {
            common[0] = '\0';
        }
        role =
            may_control(auth->config, certificate, common) ? AGENT_ROLE_CONTROL : AGENT_ROLE_WATCH;
        snprintf(caller, AGENT_CALLER_MAX, "cert:%s", common);
    }
    gnutls_x509_crt_deinit(certificate);
    return role;
}

enum agent_role agent_auth_peer(int fd, char *caller)
{
    struct ucred peer;
    socklen_t size = sizeof(peer);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0) {
        return AGENT_ROLE_NONE;
    }
    snprintf(caller, AGENT_CALLER_MAX, "uid:%u", (unsigned)peer.uid);
    return peer.uid == 0 || peer.uid == geteuid() ? AGENT_ROLE_CONTROL : AGENT_ROLE_NONE;
}
