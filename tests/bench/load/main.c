/* Options, the talk with the parent, and the result. */

#include "load.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define CONNECTIONS_MAX 60000
#define MESSAGE_BYTES_MAX (64 * 1024 * 1024)
#define PIPELINE_MAX 65536
#define BATCH_BYTES_MAX (256 * 1024 * 1024)
#define SECONDS_MAX 3600.0

static const struct mode *const modes[] = {&mode_echo,        &mode_hold,         &mode_accept,   &mode_udp_echo,
                                           &mode_udp_receive, &mode_bulk_receive, &mode_bulk_send};

static double number(const char *name, const char *text, double low, double high) {
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !(value >= low && value <= high)) {
        fail("usage", "--%s must be a number from %g to %g", name, low, high);
    }
    return value;
}

static void set_option(struct options *options, const char *name, const char *text) {
    if (strcmp(name, "port") == 0) {
        options->address.sin_port = htons((uint16_t)number(name, text, 1, 65535));
    } else if (strcmp(name, "connections") == 0) {
        options->connections = (size_t)number(name, text, 1, CONNECTIONS_MAX);
    } else if (strcmp(name, "message-bytes") == 0) {
        options->message_bytes = (size_t)number(name, text, 1, MESSAGE_BYTES_MAX);
    } else if (strcmp(name, "pipeline") == 0) {
        options->pipeline = (size_t)number(name, text, 1, PIPELINE_MAX);
    } else if (strcmp(name, "seconds") == 0) {
        options->seconds = number(name, text, 0, SECONDS_MAX);
    } else if (strcmp(name, "timeout") == 0) {
        options->timeout_seconds = number(name, text, 0.01, SECONDS_MAX);
    } else if (strcmp(name, "messages-per-second") == 0) {
        options->messages_per_second = number(name, text, 0, 1e9);
    } else if (strcmp(name, "messages") == 0) {
        options->messages_max = (uint64_t)number(name, text, 0, 1e15);
    } else if (strcmp(name, "exchanges") == 0) {
        options->exchanges = (int)number(name, text, 1, 1000);
    } else if (strcmp(name, "rate") == 0) {
        options->is_rate = true;
    } else {
        options->waits_for_parent = false;
    }
}

static struct options parse(int argument_count, char **arguments) {
    static const struct option known[] = {
        {"port", required_argument, NULL, 0},        {"connections", required_argument, NULL, 0},
        {"message-bytes", required_argument, NULL, 0}, {"pipeline", required_argument, NULL, 0},
        {"seconds", required_argument, NULL, 0},     {"timeout", required_argument, NULL, 0},
        {"messages", required_argument, NULL, 0},    {"messages-per-second", required_argument, NULL, 0},
        {"exchanges", required_argument, NULL, 0},   {"rate", no_argument, NULL, 0},
        {"no-wait", no_argument, NULL, 0},
        {NULL, 0, NULL, 0}};
    struct options options = {
        .address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)},
        .waits_for_parent = true,
        .connections = 1,
        .message_bytes = 64,
        .pipeline = 1,
        .exchanges = 1,
        .seconds = 1,
        .timeout_seconds = 5,
    };
    int which, result;
    while ((result = getopt_long(argument_count, arguments, "", known, &which)) != -1) {
        if (result != 0) {
            fail("usage", "unknown option, or an option without its value");
        }
        set_option(&options, known[which].name, optarg);
    }
    if (optind != argument_count - 1) {
        fail("usage", "give one mode: echo hold accept udp_echo udp_receive bulk_receive bulk_send");
    }
    options.mode = arguments[optind];
    if (options.address.sin_port == 0) {
        fail("usage", "--port is missing");
    }
    if (options.message_bytes * options.pipeline > BATCH_BYTES_MAX) {
        fail("usage", "message bytes times pipeline must not exceed %d", BATCH_BYTES_MAX);
    }
    return options;
}

static const struct mode *find_mode(const struct options *options) {
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        if (strcmp(modes[i]->name, options->mode) == 0) {
            modes[i]->check(options);
            return modes[i];
        }
    }
    fail("usage", "unknown mode; known: echo hold accept udp_echo udp_receive bulk_receive bulk_send");
}

static void wait_for_parent(const struct load *load, bool may_end) {
    if (!load->options.waits_for_parent) {
        return;
    }
    char line[16];
    if (fgets(line, sizeof line, stdin) == NULL && !may_end) {
        fail("usage", "end of file on stdin before the run was started (use --no-wait without a parent)");
    }
}

static void open_connections(struct load *load) {
    size_t count = load->options.connections;
    load->connections = allocate(count * sizeof *load->connections);
    for (size_t i = 0; i < count; i++) {
        load->connections[i].index = (uint32_t)i;
        load->mode->exchange->open(load, &load->connections[i]);
    }
    load->mode->warm_up(load);
    if (!load->options.is_rate || load->mode->run != NULL) {
        return;
    }
    load->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (load->epoll_fd < 0) {
        fail_errno("epoll_create1", NULL);
    }
    for (size_t i = 0; i < count; i++) {
        if (load->connections[i].fd >= 0) {
            set_nonblocking(load->connections[i].fd);
            watch(load, &load->connections[i]);
        }
    }
}

static void run(struct load *load) {
    double bound_seconds = load->options.seconds + 4 * load->options.timeout_seconds + 10;
    alarm((unsigned)bound_seconds);
    load->started_ns = now_ns();
    load->deadline_ns = load->started_ns + ns_of(load->options.seconds);
    if (load->mode->run != NULL) {
        load->mode->run(load);
    } else if (load->options.is_rate) {
        run_rate(load);
    } else {
        run_lockstep(load);
    }
    load->ended_ns = now_ns();
    alarm(0);
}

static void print_result(const struct load *load, uint64_t used_cpu_ns) {
    const struct histogram *latency = &load->latency;
    uint64_t lost = load->offered > load->messages ? load->offered - load->messages : 0;
    printf("{\"messages\": %llu, \"bytes\": %llu, \"seconds\": %.9f, \"generator_cpu_seconds\": %.9f, \"lost\": %llu, ",
           (unsigned long long)load->messages, (unsigned long long)load->bytes,
           (double)(load->ended_ns - load->started_ns) * 1e-9, (double)used_cpu_ns * 1e-9, (unsigned long long)lost);
    if (latency->count == 0) {
        printf("\"latency_us\": null}\n");
    } else {
        printf("\"latency_us\": {\"count\": %llu, \"p50\": %.3f, \"p99\": %.3f, \"p99_9\": %.3f, \"max\": %.3f}}\n",
               (unsigned long long)latency->count, (double)histogram_percentile_ns(latency, 0.5) * 1e-3,
               (double)histogram_percentile_ns(latency, 0.99) * 1e-3,
               (double)histogram_percentile_ns(latency, 0.999) * 1e-3, (double)latency->max_ns * 1e-3);
    }
    fflush(stdout);
}

int main(int argument_count, char **arguments) {
    struct load *load = allocate(sizeof *load);
    opterr = 0;
    load->options = parse(argument_count, arguments);
    load->mode = find_mode(&load->options);
    load->epoll_fd = -1;
    load->batch_bytes = load->options.message_bytes * load->options.pipeline;
    load->out = allocate(load->batch_bytes);
    load->in = allocate(INPUT_SIZE_BYTES);
    pattern_make(load);
    open_connections(load);
    if (load->options.waits_for_parent) {
        printf("ready\n");
        fflush(stdout);
    }
    wait_for_parent(load, false);
    uint64_t before_ns = cpu_ns();
    run(load);
    uint64_t used_ns = cpu_ns() - before_ns;
    /* Spun time is on the wall clock: where somebody else had the CPU in between, it is more than was used. */
    print_result(load, used_ns > load->spun_ns ? used_ns - load->spun_ns : 0);
    wait_for_parent(load, true);
    return 0;
}
