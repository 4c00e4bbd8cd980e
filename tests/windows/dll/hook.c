/* Put our functions in the place of those of ws2_32.dll, for this process.
 *
 * What is loaded later finds them in the export table of ws2_32.dll, GetProcAddress too. What is loaded already has
 * the addresses in its import tables. Entries of an export table are offsets from the start of the module, 32 bits and
 * unsigned, so each function gets a jump in memory that lies behind the module. */
#include "lane.h"

#include <psapi.h>
#include <string.h>

enum { JUMP_SIZE = 16, MODULES_MAX = 512 };

static IMAGE_NT_HEADERS *headers_of(HMODULE module) {
    char *base = (char *)module;
    return (IMAGE_NT_HEADERS *)(base + ((IMAGE_DOS_HEADER *)base)->e_lfanew);
}

static void *directory_of(HMODULE module, int which) {
    DWORD offset = headers_of(module)->OptionalHeader.DataDirectory[which].VirtualAddress;
    return offset ? (char *)module + offset : NULL;
}

/* A page of jumps, as near behind the module as there is room. */
static char *page_behind(HMODULE module) {
    char *base = (char *)module, *wish = base + headers_of(module)->OptionalHeader.SizeOfImage;
    for (wish += 0x10000 - (ULONG_PTR)wish % 0x10000; wish - base < 0x7FFF0000; wish += 0x10000) {
        char *page = VirtualAlloc(wish, 4096, MEM_COMMIT | MEM_RESERVE, PAGE_EXECUTE_READWRITE);
        if (page != NULL) return page;
    }
    return NULL;
}

static bool write_protected(void *target, const void *value, size_t size) {
    DWORD before;
    if (!VirtualProtect(target, size, PAGE_READWRITE, &before)) return false;
    memcpy(target, value, size);
    return VirtualProtect(target, size, before, &before);
}

/* mov rax, function; jmp rax */
static void write_jump(char *place, void *function) {
    memcpy(place, "\x48\xB8", 2);
    memcpy(place + 2, &function, 8);
    memcpy(place + 10, "\xFF\xE0", 2);
}

static bool replace_export(HMODULE module, struct replacement *replacement, char *jump) {
    char *base = (char *)module;
    IMAGE_EXPORT_DIRECTORY *exports = directory_of(module, IMAGE_DIRECTORY_ENTRY_EXPORT);
    DWORD *functions = (DWORD *)(base + exports->AddressOfFunctions);
    DWORD *names = (DWORD *)(base + exports->AddressOfNames);
    WORD *ordinals = (WORD *)(base + exports->AddressOfNameOrdinals);
    for (DWORD i = 0; i < exports->NumberOfNames; i++) {
        if (strcmp(base + names[i], replacement->name) != 0) continue;
        replacement->original = base + functions[ordinals[i]];
        write_jump(jump, replacement->function);
        DWORD offset = (DWORD)(jump - base);
        return write_protected(&functions[ordinals[i]], &offset, sizeof offset);
    }
    return false;
}

static void replace_imports(HMODULE module) {
    char *base = (char *)module;
    IMAGE_IMPORT_DESCRIPTOR *import = directory_of(module, IMAGE_DIRECTORY_ENTRY_IMPORT);
    for (; import != NULL && import->Name != 0; import++) {
        if (_stricmp(base + import->Name, "ws2_32.dll") != 0) continue;
        for (void **entry = (void **)(base + import->FirstThunk); *entry != NULL; entry++)
            for (struct replacement *one = replacements; one->name != NULL; one++)
                if (*entry == one->original) write_protected(entry, &one->function, sizeof one->function);
    }
}

bool hook_winsock(HMODULE self) {
    HMODULE winsock = GetModuleHandleW(L"ws2_32.dll"), modules[MODULES_MAX];
    char *jump = page_behind(winsock);
    DWORD size = 0;
    if (jump == NULL) return false;
    for (struct replacement *one = replacements; one->name != NULL; one++, jump += JUMP_SIZE)
        if (!replace_export(winsock, one, jump)) return false;
    if (!EnumProcessModules(GetCurrentProcess(), modules, sizeof modules, &size)) return false;
    for (DWORD i = 0; i < size / sizeof *modules && i < MODULES_MAX; i++)
        if (modules[i] != self && modules[i] != winsock) replace_imports(modules[i]);
    return true;
}
