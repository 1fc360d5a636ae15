/*
 * The settings of glibc's allocator, made before the program begins (docs/adr/0019).
 *
 * By itself glibc raises the size from which on an allocation is a mapping of its own, up to 32 MiB, each time a large one is freed. From then on
 * bodies and buffers lie between small allocations, and what is free cannot go back to the system. Setting the size keeps it where it is.
 *
 * Whoever sets the allocator by its environment has the last word.
 */
#include <malloc.h>
#include <stdlib.h>

__attribute__((constructor)) static void bywash_set_malloc(void) {
    if (getenv("GLIBC_TUNABLES") || getenv("MALLOC_MMAP_THRESHOLD_")) {
        return;
    }
    mallopt(M_MMAP_THRESHOLD, 128 * 1024);
    mallopt(M_TRIM_THRESHOLD, 128 * 1024);
}
