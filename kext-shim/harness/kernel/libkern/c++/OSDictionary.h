#include <libkern/c++/OSNumber.h>
