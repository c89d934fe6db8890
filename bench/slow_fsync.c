/* A disk that takes longer, for a Postgres that is started with this preloaded.
 *
 * Every flush of the write-ahead log is followed by a pause of GATEPOST_FLUSH_DELAY_US microseconds. Other
 * files are left alone. The local disk of a laptop may flush in 0.1 ms; the network disks of ordinary
 * cloud machines take 0.5 to 2 ms, and a database is only as fast as its flushes.
 *
 * Linux: which file a descriptor stands for is read from /proc.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static long delay_us(void) {
    static long known = -1;
    if (known < 0) {
        const char *said = getenv("GATEPOST_FLUSH_DELAY_US");
        known = said ? atol(said) : 0;
    }
    return known;
}

static int is_wal(int file) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0)
        return 0;
    path[length] = 0;
    return strstr(path, "/pg_wal/") != NULL;
}

static int flushed(const char *name, int file) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    int result = real(file);
    if (result == 0 && delay_us() > 0 && is_wal(file)) {
        struct timespec pause = {delay_us() / 1000000, delay_us() % 1000000 * 1000};
        nanosleep(&pause, NULL);
    }
    return result;
}

int fsync(int file) { return flushed("fsync", file); }
int fdatasync(int file) { return flushed("fdatasync", file); }
