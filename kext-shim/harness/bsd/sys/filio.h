#ifndef HARNESS_FILIO_H
#define HARNESS_FILIO_H

#define FIONBIO 0x8004667eul

#endif
