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

// A device or a file that is read as it comes. Opening and reading give up after
// timeout_ms where FFmpeg can tell. An empty mat is the end.
char* sg_open_live(const char* url, int device, int timeout_ms, void** live);
char* sg_read_live(void* live, void* mat);
char* sg_close_live(void* live);

// sg_grey averages a picture to width x height grey pixels.
char* sg_grey(const void* mat, int width, int height, void* grey);
// sg_grey_jpeg does the same to a JPEG that it decodes no further than that needs, of
// no more than most pixels. It fails for one that is damaged anywhere.
char* sg_grey_jpeg(const void* data, size_t size, long most, int width, int height, void* grey);
// sg_jpeg_small decodes a JPEG in grey: an eighth, a quarter or a half of it, which is of
// least_width x least_height pixels at least where the picture is. The caller frees what
// it gives; with NULL for grey it only looks for damage.
char* sg_jpeg_small(const void* data, size_t size, long most, int least_width, int least_height,
                    unsigned char** grey, int* width, int* height);
// sg_heap_bytes is what of C's memory is in use; 0 where that cannot be told.
size_t sg_heap_bytes(void);
// sg_veil makes all but count rectangles (x, y, width, height in pixels) of a picture
// unrecognisable.
char* sg_veil(void* mat, const int* keep, int count);

#ifdef __cplusplus
}
#endif
#endif
