/* Latencies in buckets of 1/64 of their power of two: bounded memory, an error of at most 1.6 %. */

#include "load.h"

#define SUB_COUNT (1u << HISTOGRAM_SUB_BITS)

static size_t bucket_of(uint64_t value) {
    if (value < SUB_COUNT) {
        return (size_t)value;
    }
    unsigned shift = 63u - (unsigned)__builtin_clzll(value) - HISTOGRAM_SUB_BITS;
    return ((size_t)(shift + 1) << HISTOGRAM_SUB_BITS) + (size_t)((value >> shift) - SUB_COUNT);
}

/* The middle of a bucket. */
static uint64_t value_of(size_t bucket) {
    size_t group = bucket >> HISTOGRAM_SUB_BITS;
    uint64_t sub = bucket & (SUB_COUNT - 1);
    if (group == 0) {
        return sub;
    }
    unsigned shift = (unsigned)group - 1;
    return ((sub + SUB_COUNT) << shift) + (((uint64_t)1 << shift) >> 1);
}

void histogram_add(struct histogram *histogram, uint64_t value_ns) {
    size_t bucket = bucket_of(value_ns);
    histogram->buckets[bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1]++;
    histogram->count++;
    if (value_ns > histogram->max_ns) {
        histogram->max_ns = value_ns;
    }
}

/* The smallest value that at least this fraction of all values do not exceed. */
uint64_t histogram_percentile_ns(const struct histogram *histogram, double fraction) {
    uint64_t wanted = (uint64_t)(fraction * (double)histogram->count);
    uint64_t below = 0;
    for (size_t bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) {
        below += histogram->buckets[bucket];
        if (below > wanted) {
            uint64_t value = value_of(bucket);
            return value < histogram->max_ns ? value : histogram->max_ns;
        }
    }
    return histogram->max_ns;
}
