/* MUST FAIL under UndefinedBehaviorSanitizer: a signed overflow. */
#include "check.h"

int main(int argc, char **argv) {
    (void)argv;
    volatile int32_t large = INT32_MAX;
    printf("%d\n", large + argc);
    return 0;
}
