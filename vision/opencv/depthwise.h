// Depthwise convolution for networks that run in OpenCV 4.6.
#ifndef SHEDGUARD_OPENCV_DEPTHWISE_H
#define SHEDGUARD_OPENCV_DEPTHWISE_H

// sg_register_depthwise makes OpenCV build its convolutions by ours where one of ours
// fits: depthwise, square, 3 or 5 wide, symmetric padding, stride 1 or 2. OpenCV 4.6
// has a fast path for few of them only, and they take more than half of the time of an
// EfficientNet.
void sg_register_depthwise();

#endif
