/* The core's calls of the kernel, seen first by a program that is linked with -Wl,--wrap=syscall. */
#ifndef SYSCALLS_H
#define SYSCALLS_H

#include <stdarg.h>

#include "check.h"

#define NR_ENTER 426
#define NR_REGISTER 427
#define NR_EPOLL_PWAIT2 441

long __real_syscall(long number, ...);

/* Each program has its own: what comes before a call; 0 lets it pass, and an errno refuses it. */
static int before_syscall(long number, const long *arguments);

long __wrap_syscall(long number, ...) {
    int count = number == NR_ENTER || number == NR_EPOLL_PWAIT2 ? 6 : number == NR_REGISTER ? 4 : 2;
    va_list list;
    long a[6] = {0};
    va_start(list, number);
    for (int i = 0; i < count; i++)
        a[i] = va_arg(list, long);
    va_end(list);
    int error = before_syscall(number, a);
    if (error) {
        errno = error;
        return -1;
    }
    return __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

#endif
