#ifndef HARNESS_MACH_TYPES_H
#define HARNESS_MACH_TYPES_H

#include <IOKit/IOTypes.h>

#endif
