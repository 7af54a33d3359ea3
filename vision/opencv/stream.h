// A camera that speaks RTSP, read with FFmpeg itself. cv::VideoCapture opens one
// stream at a time in a process: a camera that hangs would hold up all others.
// Every function that can fail returns NULL, or a text that the caller frees; no text
// has the address.
#ifndef SHEDGUARD_STREAM_H
#define SHEDGUARD_STREAM_H

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sg_stream sg_stream;

sg_stream* sg_stream_new(void);
// Opening and reading give up after timeout_ms.
char* sg_stream_open(sg_stream* s, const char* url, int timeout_ms);
// sg_stream_read reads the next whole frame into a cv::Mat.
char* sg_stream_read(sg_stream* s, int timeout_ms, void* mat);
// sg_stream_stop makes the others give up at once. Any thread may call it.
void sg_stream_stop(sg_stream* s);
void sg_stream_close(sg_stream* s);

#ifdef __cplusplus
}
#endif
#endif
