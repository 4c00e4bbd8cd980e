/* Reports of what RIO calls undefined: each a line in the file TRIO_RIO_LANE_MISUSE, or else on stderr.
 *
 * On Windows it would be a crash, corrupted memory, or nothing at all until the day it matters. The program runs on;
 * the runner fails when there is a report. */
#include "lane.h"

#include <stdarg.h>
#include <stdio.h>

static HANDLE report_file(void) {
    wchar_t path[1024];
    DWORD length = GetEnvironmentVariableW(L"TRIO_RIO_LANE_MISUSE", path, 1024);
    if (length == 0 || length >= 1024) return GetStdHandle(STD_ERROR_HANDLE);
    DWORD shared = FILE_SHARE_READ | FILE_SHARE_WRITE;
    return CreateFileW(path, FILE_APPEND_DATA, shared, NULL, OPEN_ALWAYS, FILE_ATTRIBUTE_NORMAL, NULL);
}

void misuse(const char *function, const char *format, ...) {
    char text[512], line[1024], test[300] = "";
    GetEnvironmentVariableA("PYTEST_CURRENT_TEST", test, sizeof test);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    int length = snprintf(line, sizeof line, "misuse: %s: %s (process %lu, thread %lu) %s\n", function, text,
                          GetCurrentProcessId(), GetCurrentThreadId(), test);
    HANDLE file = report_file();
    DWORD written;
    WriteFile(file, line, (DWORD)length, &written, NULL);
    if (file != GetStdHandle(STD_ERROR_HANDLE)) CloseHandle(file);
}

/* A thread begins a call that must have the queue to itself. It may be that it is alone only by luck, so the others
 * get a chance to be there too. */
bool enter(volatile LONG *user, const char *function, const char *what) {
    LONG other = InterlockedCompareExchange(user, (LONG)GetCurrentThreadId(), 0);
    if (other != 0) misuse(function, "thread %lu is inside this %s", (unsigned long)other, what);
    SwitchToThread();
    return other == 0;
}

void leave(volatile LONG *user, bool has_entered) {
    if (has_entered) InterlockedExchange(user, 0);
}
