/* bcryptprimitives.dll, which Wine 8 has not: programs in Rust (the cryptography package) import one function of it. */
#include <windows.h>

BOOLEAN NTAPI SystemFunction036(void *buffer, ULONG length); /* RtlGenRandom, of advapi32 */

__declspec(dllexport) BOOL WINAPI ProcessPrng(BYTE *data, SIZE_T length) {
    return SystemFunction036(data, (ULONG)length);
}
