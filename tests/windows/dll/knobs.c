/* The knobs, from the environment, and the chances that they take. TRIO_RIO_LANE_SEED makes another sequence. */
#include "lane.h"

#include <stdlib.h>
#include <string.h>

struct knobs knobs;
static ULONG seed;

static const ULONG abort_statuses[] = {WSA_OPERATION_ABORTED, WSAECONNABORTED, WSAENOTSOCK, ERROR_NETNAME_DELETED};

static ULONG number(const char *name, ULONG otherwise) {
    char text[64];
    DWORD length = GetEnvironmentVariableA(name, text, sizeof text);
    return length > 0 && length < sizeof text ? strtoul(text, NULL, 10) : otherwise;
}

static bool says(const char *name, const char *value) {
    char text[64];
    DWORD length = GetEnvironmentVariableA(name, text, sizeof text);
    return length > 0 && length < sizeof text && strcmp(text, value) == 0;
}

void read_knobs(void) {
    knobs = (struct knobs){
        .delay_milliseconds = number("TRIO_RIO_LANE_DELAY_MILLISECONDS", 0),
        .fail_calls = number("TRIO_RIO_LANE_FAIL_CALLS", 0),
        .fail_requests = number("TRIO_RIO_LANE_FAIL_REQUESTS", 0),
        .fail_status = number("TRIO_RIO_LANE_FAIL_STATUS", WSAECONNRESET),
        .abort_status = number("TRIO_RIO_LANE_ABORT_STATUS", WSA_OPERATION_ABORTED),
        .short_receives = number("TRIO_RIO_LANE_SHORT_RECEIVES", 0) != 0,
        .start_deferred_early = number("TRIO_RIO_LANE_START_DEFERRED_EARLY", 0) != 0,
        .lose_notifications = number("TRIO_RIO_LANE_LOSE_NOTIFICATIONS", 0),
        .lose_completions = number("TRIO_RIO_LANE_LOSE_COMPLETIONS", 0) != 0,
        .refuse = number("TRIO_RIO_LANE_REFUSE", 0) != 0,
        .refuse_ioctls = number("TRIO_RIO_LANE_REFUSE_IOCTLS", 0) != 0,
        .refuse_memory = number("TRIO_RIO_LANE_REFUSE_MEMORY", 0) != 0,
        .refuse_queues = number("TRIO_RIO_LANE_REFUSE_QUEUES", 0) != 0,
    };
    if (says("TRIO_RIO_LANE_ABORT_STATUS", "vary")) knobs.abort_status = 0;
    seed = number("TRIO_RIO_LANE_SEED", 1) * 2654435761u | 1;
}

/* 0 .. limit - 1; xorshift. */
ULONG random_below(ULONG limit) {
    seed ^= seed << 13;
    seed ^= seed >> 17;
    seed ^= seed << 5;
    return seed % limit;
}

/* Whether this is the nth time; never when n is 0. */
bool every(ULONG n, ULONG *count) { return n > 0 && ++*count % n == 0; }

LONG abort_status(void) {
    if (knobs.abort_status != 0) return (LONG)knobs.abort_status;
    return (LONG)abort_statuses[random_below(sizeof abort_statuses / sizeof *abort_statuses)];
}
