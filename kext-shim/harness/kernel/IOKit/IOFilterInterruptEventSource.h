#include <IOKit/IOInterruptEventSource.h>
