// What of OpenCV meets bytes from outside, with exceptions turned into text.
// Every function that can fail returns NULL, or a text that the caller frees.
#ifndef SHEDGUARD_OPENCV_SHIM_H
#define SHEDGUARD_OPENCV_SHIM_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

// The mat and net pointers are cv::Mat* and cv::dnn::Net*.
typedef struct {
  const char* name;
  float* into;  // count floats; what the network gives must be as many
  size_t count;
} sg_output;

char* sg_decode(const void* data, size_t size, void* mat);
char* sg_read_net(const void* onnx, size_t size, void** net);
void sg_close_net(void* net);
// sg_forward runs the network over a picture of 8 bit BGR that has the size of its
// input already. table holds 256 values for each channel of the input: what a pixel
// becomes. order is the picture's channel for each channel of the input.
char* sg_forward(void* net, const void* mat, const char* input, const float* table,
                 const int order[3], const sg_output* outputs, int count);
char* sg_copy_pixels(void* mat, int width, int height, const void* bgr);
void sg_set_threads(int n);

#ifdef __cplusplus
}
#endif
#endif
