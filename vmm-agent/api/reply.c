/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/private.h"

#define PAGE_POLICY                                                                                \
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "              \
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

unsigned status_of(int code)
{
    switch (-code) {
    case 0:
        return MHD_HTTP_OK;
    case EINVAL:
    case EBADMSG:
    case ERANGE:
        return MHD_HTTP_BAD_REQUEST;
    case ENOENT:
    case ESRCH:
        return MHD_HTTP_NOT_FOUND;
    case ENOMEM:
    case EIO:
    case ENOSPC:
        return MHD_HTTP_INTERNAL_SERVER_ERROR;
    case EAGAIN:
    case EBUSY:
        return MHD_HTTP_SERVICE_UNAVAILABLE;
    case ENAMETOOLONG:
        return MHD_HTTP_URI_TOO_LONG;
    default:
        return MHD_HTTP_CONFLICT; /* asked for rightly, and cannot be done now */
    }
}

void reply_dress(struct MHD_Response *response)
{
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    MHD_add_response_header(response, "Referrer-Policy", "no-referrer");
    MHD_add_response_header(response, "Content-Security-Policy", PAGE_POLICY);
    if (MHD_get_response_header(response, "Cache-Control") == NULL) {
        MHD_add_response_header(response, "Cache-Control", "no-store");
    }
}

enum MHD_Result reply_share(struct request *request, struct MHD_Connection *mhd, unsigned status,
                            struct MHD_Response *response)
{
    struct agent_api *api = request->connection->listener->api;

    request->status = status;
    request->connection->deadline_ns =
        api->now_ns + (int64_t)api->config.limits.reply_s * 1000000000;
    return MHD_queue_response(mhd, status, response);
}

enum MHD_Result reply_queue(struct request *request, struct MHD_Connection *mhd, unsigned status,
                            struct MHD_Response *response)
{
    if (response == NULL) {
        return MHD_NO;
    }
    reply_dress(response);
    enum MHD_Result result = reply_share(request, mhd, status, response);
    MHD_destroy_response(response);
    return result;
}

enum MHD_Result reply_bytes(struct request *request, struct MHD_Connection *mhd, unsigned status,
                            const char *type, char *bytes, size_t size)
{
    struct MHD_Response *response =
        bytes == NULL ? NULL : MHD_create_response_from_buffer(size, bytes, MHD_RESPMEM_MUST_FREE);

    if (response == NULL) {
        free(bytes);
        return MHD_NO;
    }
    MHD_add_response_header(response, "Content-Type", type);
    return reply_queue(request, mhd, status, response);
}

enum MHD_Result reply_json(struct request *request, struct MHD_Connection *mhd, unsigned status,
                           json_t *value)
{
    char *text = json_dumps(value, JSON_COMPACT | JSON_REAL_PRECISION(10));

    json_decref(value);
    return reply_bytes(request, mhd, status, "application/json", text,
                       text == NULL ? 0 : strlen(text));
}

/* {"error": {"code", "text"}}; @error->line is used for Retry-After seconds of 429 and 503. */
enum MHD_Result reply_problem(struct request *request, struct MHD_Connection *mhd, unsigned status,
                              const struct agent_error *error)
{
    char retry[16];
    const char *name = strerrorname_np(-error->code);
    json_t *words = json_string(error->text);

    if (words == NULL) {
        words = json_string("the reason holds bytes that are no text");
    }
    json_t *problem =
        json_pack("{s:{s:s, s:o}}", "error", "code", name != NULL ? name : "EIO", "text", words);
    char *text = json_dumps(problem, JSON_COMPACT);
    json_decref(problem);
    struct MHD_Response *response =
        text == NULL ? NULL
                     : MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE);
    if (response == NULL) {
        free(text);
        return MHD_NO;
    }
    MHD_add_response_header(response, "Content-Type", "application/json");
    if (status == MHD_HTTP_UNAUTHORIZED) {
        MHD_add_response_header(response, "WWW-Authenticate", "Bearer realm=\"vmm-agent\"");
    } else if (status == MHD_HTTP_METHOD_NOT_ALLOWED) {
        MHD_add_response_header(response, "Allow", request->route.allow);
    } else if (error->line > 0 && (status == 429 || status == 503)) {
        snprintf(retry, sizeof(retry), "%u", error->line);
        MHD_add_response_header(response, "Retry-After", retry);
    }
    return reply_queue(request, mhd, status, response);
}
