#ifndef HARNESS_IOSTORAGEDEVICECHARACTERISTICS_H
#define HARNESS_IOSTORAGEDEVICECHARACTERISTICS_H

#define kIOPropertyVendorNameKey "Vendor Name"
#define kIOPropertyProductNameKey "Product Name"

#endif
