/*
 * The settings of glibc's allocator, made before the program begins (docs/adr/0019).
 *
 * By itself glibc raises the size from which on an allocation is a mapping of its own, up to 32 MiB, each time a large
 * one is freed. From then on bodies and buffers lie between small allocations, and what is free cannot go back to the
 * system. Setting the size keeps it where it is.
 *
 * What is free between small allocations glibc gives back only when it is asked to. A thread asks now and then, if it
 * is worth it.
 *
 * Whoever sets the allocator by its environment has the last word.
 */
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

/* From this size on an allocation is a mapping of its own. Less costs a page fault for each page of an ordinary body. */
static const int MAPPED_FROM = 512 * 1024;
/* So much may be free at the end of an arena: less, and it would be given back and taken again all the time. */
static const int SLACK = 2 * 1024 * 1024;
/* So much may be free and stay. */
static const size_t KEPT = 16 * 1024 * 1024;
/* Seconds between two looks. */
static const unsigned PAUSE = 10;

static size_t free_bytes(void) {
#if __GLIBC_PREREQ(2, 33)
    return mallinfo2().fordblks;
#else
    return (unsigned)mallinfo().fordblks;
#endif
}

static void *give_back(void *unused) {
    for (;;) {
        sleep(PAUSE);
        if (free_bytes() > KEPT) {
            malloc_trim(KEPT / 2);
        }
    }
    return unused;
}

__attribute__((constructor)) static void bywash_set_malloc(void) {
    pthread_t thread;
    if (getenv("GLIBC_TUNABLES") || getenv("MALLOC_MMAP_THRESHOLD_")) {
        return;
    }
    mallopt(M_MMAP_THRESHOLD, MAPPED_FROM);
    mallopt(M_TRIM_THRESHOLD, SLACK);
    if (pthread_create(&thread, NULL, give_back, NULL) == 0) {
        pthread_detach(thread);
    }
}
