// Functions of numbers: IEEE 754 and C say what they give.
#include "darwin.h"
#include <math.h>

SAME(ceil)
SAME(exp)
SAME(exp2)
SAME(floor)
SAME(fmod)
SAME(log)
SAME(log10)
SAME(log2)
SAME(pow)
SAME(round)
SAME(sqrt)
SAME(trunc)
