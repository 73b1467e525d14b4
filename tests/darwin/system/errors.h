// Errors by number: DARWIN_EPERM … DARWIN_EQFULL, what Linux calls each, and what strerror says of it.
// xnu bsd/sys/errno.h; the words are those of gen/errlst.c, Libc-1725.0.11.
#pragma once
#include "darwin.h"

// ROW(name, number of Darwin, name of Linux' or 0 if it has none, words)
#define DARWIN_ERRORS \
    ROW(EPERM,           1,    EPERM,           "Operation not permitted") \
    ROW(ENOENT,          2,    ENOENT,          "No such file or directory") \
    ROW(ESRCH,           3,    ESRCH,           "No such process") \
    ROW(EINTR,           4,    EINTR,           "Interrupted system call") \
    ROW(EIO,             5,    EIO,             "Input/output error") \
    ROW(ENXIO,           6,    ENXIO,           "Device not configured") \
    ROW(E2BIG,           7,    E2BIG,           "Argument list too long") \
    ROW(ENOEXEC,         8,    ENOEXEC,         "Exec format error") \
    ROW(EBADF,           9,    EBADF,           "Bad file descriptor") \
    ROW(ECHILD,          10,   ECHILD,          "No child processes") \
    ROW(EDEADLK,         11,   EDEADLK,         "Resource deadlock avoided") \
    ROW(ENOMEM,          12,   ENOMEM,          "Cannot allocate memory") \
    ROW(EACCES,          13,   EACCES,          "Permission denied") \
    ROW(EFAULT,          14,   EFAULT,          "Bad address") \
    ROW(ENOTBLK,         15,   ENOTBLK,         "Block device required") \
    ROW(EBUSY,           16,   EBUSY,           "Resource busy") \
    ROW(EEXIST,          17,   EEXIST,          "File exists") \
    ROW(EXDEV,           18,   EXDEV,           "Cross-device link") \
    ROW(ENODEV,          19,   ENODEV,          "Operation not supported by device") \
    ROW(ENOTDIR,         20,   ENOTDIR,         "Not a directory") \
    ROW(EISDIR,          21,   EISDIR,          "Is a directory") \
    ROW(EINVAL,          22,   EINVAL,          "Invalid argument") \
    ROW(ENFILE,          23,   ENFILE,          "Too many open files in system") \
    ROW(EMFILE,          24,   EMFILE,          "Too many open files") \
    ROW(ENOTTY,          25,   ENOTTY,          "Inappropriate ioctl for device") \
    ROW(ETXTBSY,         26,   ETXTBSY,         "Text file busy") \
    ROW(EFBIG,           27,   EFBIG,           "File too large") \
    ROW(ENOSPC,          28,   ENOSPC,          "No space left on device") \
    ROW(ESPIPE,          29,   ESPIPE,          "Illegal seek") \
    ROW(EROFS,           30,   EROFS,           "Read-only file system") \
    ROW(EMLINK,          31,   EMLINK,          "Too many links") \
    ROW(EPIPE,           32,   EPIPE,           "Broken pipe") \
    ROW(EDOM,            33,   EDOM,            "Numerical argument out of domain") \
    ROW(ERANGE,          34,   ERANGE,          "Result too large") \
    ROW(EAGAIN,          35,   EAGAIN,          "Resource temporarily unavailable") \
    ROW(EINPROGRESS,     36,   EINPROGRESS,     "Operation now in progress") \
    ROW(EALREADY,        37,   EALREADY,        "Operation already in progress") \
    ROW(ENOTSOCK,        38,   ENOTSOCK,        "Socket operation on non-socket") \
    ROW(EDESTADDRREQ,    39,   EDESTADDRREQ,    "Destination address required") \
    ROW(EMSGSIZE,        40,   EMSGSIZE,        "Message too long") \
    ROW(EPROTOTYPE,      41,   EPROTOTYPE,      "Protocol wrong type for socket") \
    ROW(ENOPROTOOPT,     42,   ENOPROTOOPT,     "Protocol not available") \
    ROW(EPROTONOSUPPORT, 43,   EPROTONOSUPPORT, "Protocol not supported") \
    ROW(ESOCKTNOSUPPORT, 44,   ESOCKTNOSUPPORT, "Socket type not supported") \
    ROW(ENOTSUP,         45,   0,               "Operation not supported") \
    ROW(EPFNOSUPPORT,    46,   EPFNOSUPPORT,    "Protocol family not supported") \
    ROW(EAFNOSUPPORT,    47,   EAFNOSUPPORT,    "Address family not supported by protocol family") \
    ROW(EADDRINUSE,      48,   EADDRINUSE,      "Address already in use") \
    ROW(EADDRNOTAVAIL,   49,   EADDRNOTAVAIL,   "Can't assign requested address") \
    ROW(ENETDOWN,        50,   ENETDOWN,        "Network is down") \
    ROW(ENETUNREACH,     51,   ENETUNREACH,     "Network is unreachable") \
    ROW(ENETRESET,       52,   ENETRESET,       "Network dropped connection on reset") \
    ROW(ECONNABORTED,    53,   ECONNABORTED,    "Software caused connection abort") \
    ROW(ECONNRESET,      54,   ECONNRESET,      "Connection reset by peer") \
    ROW(ENOBUFS,         55,   ENOBUFS,         "No buffer space available") \
    ROW(EISCONN,         56,   EISCONN,         "Socket is already connected") \
    ROW(ENOTCONN,        57,   ENOTCONN,        "Socket is not connected") \
    ROW(ESHUTDOWN,       58,   ESHUTDOWN,       "Can't send after socket shutdown") \
    ROW(ETOOMANYREFS,    59,   ETOOMANYREFS,    "Too many references: can't splice") \
    ROW(ETIMEDOUT,       60,   ETIMEDOUT,       "Operation timed out") \
    ROW(ECONNREFUSED,    61,   ECONNREFUSED,    "Connection refused") \
    ROW(ELOOP,           62,   ELOOP,           "Too many levels of symbolic links") \
    ROW(ENAMETOOLONG,    63,   ENAMETOOLONG,    "File name too long") \
    ROW(EHOSTDOWN,       64,   EHOSTDOWN,       "Host is down") \
    ROW(EHOSTUNREACH,    65,   EHOSTUNREACH,    "No route to host") \
    ROW(ENOTEMPTY,       66,   ENOTEMPTY,       "Directory not empty") \
    ROW(EPROCLIM,        67,   0,               "Too many processes") \
    ROW(EUSERS,          68,   EUSERS,          "Too many users") \
    ROW(EDQUOT,          69,   EDQUOT,          "Disc quota exceeded") \
    ROW(ESTALE,          70,   ESTALE,          "Stale NFS file handle") \
    ROW(EREMOTE,         71,   EREMOTE,         "Too many levels of remote in path") \
    ROW(EBADRPC,         72,   0,               "RPC struct is bad") \
    ROW(ERPCMISMATCH,    73,   0,               "RPC version wrong") \
    ROW(EPROGUNAVAIL,    74,   0,               "RPC prog. not avail") \
    ROW(EPROGMISMATCH,   75,   0,               "Program version wrong") \
    ROW(EPROCUNAVAIL,    76,   0,               "Bad procedure for program") \
    ROW(ENOLCK,          77,   ENOLCK,          "No locks available") \
    ROW(ENOSYS,          78,   ENOSYS,          "Function not implemented") \
    ROW(EFTYPE,          79,   0,               "Inappropriate file type or format") \
    ROW(EAUTH,           80,   0,               "Authentication error") \
    ROW(ENEEDAUTH,       81,   0,               "Need authenticator") \
    ROW(EPWROFF,         82,   0,               "Device power is off") \
    ROW(EDEVERR,         83,   0,               "Device error") \
    ROW(EOVERFLOW,       84,   EOVERFLOW,       "Value too large to be stored in data type") \
    ROW(EBADEXEC,        85,   0,               "Bad executable (or shared library)") \
    ROW(EBADARCH,        86,   0,               "Bad CPU type in executable") \
    ROW(ESHLIBVERS,      87,   0,               "Shared library version mismatch") \
    ROW(EBADMACHO,       88,   0,               "Malformed Mach-o file") \
    ROW(ECANCELED,       89,   ECANCELED,       "Operation canceled") \
    ROW(EIDRM,           90,   EIDRM,           "Identifier removed") \
    ROW(ENOMSG,          91,   ENOMSG,          "No message of desired type") \
    ROW(EILSEQ,          92,   EILSEQ,          "Illegal byte sequence") \
    ROW(ENOATTR,         93,   0,               "Attribute not found") \
    ROW(EBADMSG,         94,   EBADMSG,         "Bad message") \
    ROW(EMULTIHOP,       95,   EMULTIHOP,       "EMULTIHOP (Reserved)") \
    ROW(ENODATA,         96,   ENODATA,         "No message available on STREAM") \
    ROW(ENOLINK,         97,   ENOLINK,         "ENOLINK (Reserved)") \
    ROW(ENOSR,           98,   ENOSR,           "No STREAM resources") \
    ROW(ENOSTR,          99,   ENOSTR,          "Not a STREAM") \
    ROW(EPROTO,          100,  EPROTO,          "Protocol error") \
    ROW(ETIME,           101,  ETIME,           "STREAM ioctl timeout") \
    ROW(EOPNOTSUPP,      102,  EOPNOTSUPP,      "Operation not supported on socket") \
    ROW(ENOPOLICY,       103,  0,               "Policy not found") \
    ROW(ENOTRECOVERABLE, 104,  ENOTRECOVERABLE, "State not recoverable") \
    ROW(EOWNERDEAD,      105,  EOWNERDEAD,      "Previous owner died") \
    ROW(EQFULL,          106,  0,               "Interface output queue is full")

#define ROW(name, number, linux_number, words) DARWIN_##name = number,
enum darwin_error { DARWIN_ERRORS DARWIN_ELAST = DARWIN_EQFULL };
#undef ROW

// What a call of glibc that returns an error's number returns on Darwin: pthread_…, posix_spawn, getpwuid_r.
static inline int returned(int linux_number) { return errno_to_darwin(linux_number); }

// Where the program finds errno: the thread's, glibc's latest taken over. Who interrupts the program (a handler of a
// signal) keeps the number from here and gives it back by fail().
int *darwin_error(void);
