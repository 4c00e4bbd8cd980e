/* python.exe of the lane: loads the RIO table when there is one, then python311.dll, and runs its main.
 *
 * The official python.exe comes only in an installer. It does no more than this. The table is loaded here, before
 * any extension module is, because then it is enough to change what ws2_32.dll exports: a program that runs later
 * finds the table in the way it finds it on Windows, whichever options Python was started with (-S, -I, -E).
 * TRIO_RIO_LANE_DLL names the DLL; it is inherited by the programs that this one starts. */
#include <windows.h>
#include <stdio.h>
#include <wchar.h>

typedef int (*main_function)(int, wchar_t **);

static int complain(const wchar_t *what) {
    fwprintf(stderr, L"python.exe of the lane: cannot load %ls: error %lu\n", what, GetLastError());
    return 120;
}

int wmain(int argc, wchar_t **argv) {
    wchar_t table[1024];
    DWORD length = GetEnvironmentVariableW(L"TRIO_RIO_LANE_DLL", table, 1024);
    if (length > 0 && length < 1024 && LoadLibraryW(table) == NULL) return complain(table);
    HMODULE python = LoadLibraryW(PYTHON_DLL);
    if (python == NULL) return complain(PYTHON_DLL);
    main_function run = (main_function)(void *)GetProcAddress(python, "Py_Main");
    if (run == NULL) return complain(L"Py_Main");
    return run(argc, argv);
}
