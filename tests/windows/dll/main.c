/* To load the DLL is to have RIO. */
#include "lane.h"

BOOL WINAPI DllMain(HINSTANCE self, DWORD reason, void *reserved) {
    (void)reserved;
    if (reason != DLL_PROCESS_ATTACH) return TRUE;
    DisableThreadLibraryCalls(self);
    InitializeCriticalSection(&lane_lock);
    read_knobs();
    return hook_winsock(self);
}
