/*
 * A disk that fails on command, for one process: loaded with LD_PRELOAD, it stands between SQLite and the kernel.
 *
 * FAULTY_DISK_FILES    only calls on files whose path begins so are looked at; locks ("….lock") never are.
 * FAULTY_DISK_CONTROL  a file with one line: "MODE AFTER COUNT". Without it, or empty, everything passes.
 * FAULTY_DISK_STRUCK   each call that was made to fail is appended here: microseconds since 1970, call, file.
 *
 * MODE   full    writes and new files: ENOSPC      fsync  fsync and fdatasync: EIO
 *        write   writes: EIO       read  reads: EIO      kill  SIGKILL before the call      count  nothing, only counts
 * AFTER  so many calls of that mode pass first; a control file that changed counts from the start again.
 * COUNT  so many fail then; 0: all.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

enum kind { READ = 1, WRITE = 2, SYNC = 4, MAKE = 8, CUT = 16 };

static char seen[96];
static long calls;
static volatile int turn;

static void enter(void) { while (__sync_lock_test_and_set(&turn, 1)) usleep(10); }
static void leave(void) { __sync_lock_release(&turn); }

static int is_ours(const char *path) {
    const char *files = getenv("FAULTY_DISK_FILES");
    size_t length = strlen(path);
    if (files == NULL || strncmp(path, files, strlen(files)) != 0) return 0;
    return length < 5 || strcmp(path + length - 5, ".lock") != 0;
}

static int path_of(int file, char *path, size_t size) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, size - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return is_ours(path);
}

static void control(char *line, size_t size) {
    const char *name = getenv("FAULTY_DISK_CONTROL");
    line[0] = 0;
    if (name == NULL) return;
    int file = (int)syscall(SYS_openat, AT_FDCWD, name, O_RDONLY | O_CLOEXEC);
    if (file < 0) return;
    ssize_t length = syscall(SYS_read, file, line, size - 1);
    syscall(SYS_close, file);
    line[length < 0 ? 0 : length] = 0;
}

static void tell(const char *call, const char *path) {
    const char *name = getenv("FAULTY_DISK_STRUCK");
    struct timespec now;
    char line[1200];
    if (name == NULL) return;
    int file = (int)syscall(SYS_openat, AT_FDCWD, name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (file < 0) return;
    clock_gettime(CLOCK_REALTIME, &now);
    int length = snprintf(line, sizeof line, "%lld %s %s\n", (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000, call, path);
    if (syscall(SYS_write, file, line, (size_t)length) < 0) abort();
    syscall(SYS_close, file);
}

/* 0: let it pass; else the error with which the call fails. */
static int fault(enum kind kind, const char *call, const char *path) {
    static const struct { const char *name; int kinds; int error; } modes[] = {
        {"full", WRITE | MAKE, ENOSPC}, {"fsync", SYNC, EIO}, {"write", WRITE | CUT, EIO}, {"read", READ, EIO},
        {"kill", WRITE | SYNC | MAKE | CUT, 0}, {"count", WRITE | SYNC | MAKE | CUT, 0},
    };
    char line[96], mode[16];
    long after = 0, count = 0;
    int error = 0, kept = errno;
    enter();
    control(line, sizeof line);
    if (strcmp(line, seen) != 0) {
        strcpy(seen, line);
        calls = 0;
    }
    if (sscanf(line, "%15s %ld %ld", mode, &after, &count) >= 1) {
        for (size_t each = 0; each < sizeof modes / sizeof modes[0]; each++) {
            if (strcmp(modes[each].name, mode) != 0 || !(modes[each].kinds & kind)) continue;
            long number = calls++;
            if (number < after || (count > 0 && number >= after + count)) break;
            tell(call, path);
            if (strcmp(mode, "kill") == 0) kill(getpid(), SIGKILL);
            error = modes[each].error;
        }
    }
    leave();
    errno = kept;
    return error;
}

static int fails(int file, enum kind kind, const char *call) {
    char path[1024];
    int kept = errno;
    if (!path_of(file, path, sizeof path)) {
        errno = kept;
        return 0;
    }
    int error = fault(kind, call, path);
    errno = error ? error : kept;
    return error;
}

#define REAL(name, type) static type real; if (real == NULL) real = (type)dlsym(RTLD_NEXT, name)

typedef ssize_t (*reads)(int, void *, size_t, off64_t);
typedef ssize_t (*writes)(int, const void *, size_t, off64_t);
typedef int (*syncs)(int);
typedef int (*cuts)(int, off64_t);
typedef int (*opens)(const char *, int, ...);

ssize_t pread64(int file, void *bytes, size_t size, off64_t at) {
    REAL("pread64", reads);
    return fails(file, READ, "pread") ? -1 : real(file, bytes, size, at);
}
ssize_t pread(int file, void *bytes, size_t size, off_t at) { return pread64(file, bytes, size, at); }

ssize_t pwrite64(int file, const void *bytes, size_t size, off64_t at) {
    REAL("pwrite64", writes);
    return fails(file, WRITE, "pwrite") ? -1 : real(file, bytes, size, at);
}
ssize_t pwrite(int file, const void *bytes, size_t size, off_t at) { return pwrite64(file, bytes, size, at); }

int fsync(int file) {
    REAL("fsync", syncs);
    return fails(file, SYNC, "fsync") ? -1 : real(file);
}
int fdatasync(int file) {
    REAL("fdatasync", syncs);
    return fails(file, SYNC, "fdatasync") ? -1 : real(file);
}

int ftruncate64(int file, off64_t size) {
    REAL("ftruncate64", cuts);
    return fails(file, CUT, "ftruncate") ? -1 : real(file, size);
}
int ftruncate(int file, off_t size) { return ftruncate64(file, size); }

int open64(const char *path, int flags, ...) {
    REAL("open64", opens);
    va_list more;
    va_start(more, flags);
    int mode = (flags & (O_CREAT | O_TMPFILE)) ? va_arg(more, int) : 0;
    va_end(more);
    if ((flags & O_CREAT) && is_ours(path) && access(path, F_OK) != 0) {
        int error = fault(MAKE, "open", path);
        if (error) {
            errno = error;
            return -1;
        }
    }
    return real(path, flags, mode);
}
