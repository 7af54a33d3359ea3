//go:build opencv && cgo

#include "stream.h"

#include <atomic>
#include <chrono>
#include <cstring>
#include <exception>
#include <new>
#include <opencv2/core.hpp>
#include <stdexcept>
#include <string>

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/dict.h>
#include <libavutil/error.h>
#include <libavutil/log.h>
#include <libswscale/swscale.h>
}

using steady = std::chrono::steady_clock;

struct sg_stream {
  AVFormatContext* format = nullptr;
  AVCodecContext* decoder = nullptr;
  SwsContext* scaler = nullptr;
  AVPacket* packet = nullptr;
  AVFrame* frame = nullptr;
  int index = -1;  // of the stream that is decoded
  cv::Mat picture;
  std::atomic<bool> stopped{false};
  steady::time_point deadline;
};

namespace {

constexpr int max_pixels = 50000000;  // as of a picture that is decoded

bool over(const sg_stream* s) { return s->stopped || steady::now() >= s->deadline; }

// FFmpeg asks this ten times a second while it waits for the network.
int interrupted(void* s) { return over(static_cast<sg_stream*>(s)); }

std::runtime_error failed(const sg_stream* s, int code) {
  if (s->stopped) return std::runtime_error("stopped");
  if (code == AVERROR_EXIT || over(s)) return std::runtime_error("no frame in time");
  if (code == AVERROR_EOF) return std::runtime_error("the stream ended");
  char text[AV_ERROR_MAX_STRING_SIZE] = "";
  av_strerror(code, text, sizeof text);
  return std::runtime_error(text);
}

void check(const sg_stream* s, int code) {
  if (code < 0) throw failed(s, code);
}

template <typename T>
T* there(T* p) {
  if (p == nullptr) throw std::bad_alloc();
  return p;
}

template <typename F>
char* guarded(F f) {
  try {
    f();
    return nullptr;
  } catch (const std::exception& e) {
    return strdup(e.what());
  } catch (...) {
    return strdup("unknown C++ exception");
  }
}

// convert makes 8 bit BGR of the frame. The size may be another one than before.
void convert(sg_stream* s, cv::Mat& out) {
  const AVFrame* f = s->frame;
  if (f->width < 1 || f->height < 1 || f->width > max_pixels / f->height)
    throw std::runtime_error("frames of " + std::to_string(f->width) + " x " + std::to_string(f->height) + " pixels");
  s->scaler = there(sws_getCachedContext(s->scaler, f->width, f->height, static_cast<AVPixelFormat>(f->format), f->width,
                                         f->height, AV_PIX_FMT_BGR24, SWS_BICUBIC, nullptr, nullptr, nullptr));
  // swscale writes whole vectors: rows need room behind them.
  s->picture.create(f->height, (f->width + 63) / 64 * 64, CV_8UC3);
  uint8_t* const to[] = {s->picture.data, nullptr, nullptr, nullptr};
  const int steps[] = {static_cast<int>(s->picture.step), 0, 0, 0};
  check(s, sws_scale(s->scaler, f->data, f->linesize, 0, f->height, to, steps));
  s->picture.colRange(0, f->width).copyTo(out);
}

}  // namespace

sg_stream* sg_stream_new(void) { return new (std::nothrow) sg_stream; }

char* sg_stream_open(sg_stream* s, const char* url, int timeout_ms) {
  return guarded([&] {
    av_log_set_level(AV_LOG_QUIET);  // what goes wrong is returned, and told once
    s->deadline = steady::now() + std::chrono::milliseconds(timeout_ms);
    s->packet = there(av_packet_alloc());
    s->frame = there(av_frame_alloc());
    s->format = there(avformat_alloc_context());
    s->format->interrupt_callback = {interrupted, s};
    AVDictionary* options = nullptr;
    // Over TCP: what is lost of a picture over UDP comes as smears of any colour.
    av_dict_set(&options, "rtsp_transport", "tcp", 0);
    av_dict_set(&options, "allowed_media_types", "video", 0);
    av_dict_set(&options, "protocol_whitelist", "rtsp,rtsps,rtp,tcp,tls,udp,crypto", 0);
    const int code = avformat_open_input(&s->format, url, nullptr, &options);  // frees format when it fails
    av_dict_free(&options);
    check(s, code);
    // The description of the session names the codec, and each key frame its size:
    // there is nothing to be found out from seconds of frames.
    for (unsigned i = 0; i < s->format->nb_streams; i++) {
      if (s->index < 0 && s->format->streams[i]->codecpar->codec_type == AVMEDIA_TYPE_VIDEO)
        s->index = static_cast<int>(i);
      else
        s->format->streams[i]->discard = AVDISCARD_ALL;
    }
    if (s->index < 0) throw std::runtime_error("no video in the stream");
    const AVCodecParameters* p = s->format->streams[s->index]->codecpar;
    const AVCodec* codec = avcodec_find_decoder(p->codec_id);
    if (codec == nullptr) throw std::runtime_error(std::string("no decoder for ") + avcodec_get_name(p->codec_id));
    s->decoder = there(avcodec_alloc_context3(codec));
    check(s, avcodec_parameters_to_context(s->decoder, p));
    s->decoder->thread_count = 1;  // more of them hold frames back, and take the guard's time
    s->decoder->max_pixels = max_pixels;
    check(s, avcodec_open2(s->decoder, codec, nullptr));
  });
}

char* sg_stream_read(sg_stream* s, int timeout_ms, void* mat) {
  return guarded([&] {
    s->deadline = steady::now() + std::chrono::milliseconds(timeout_ms);
    for (;;) {
      const int got = avcodec_receive_frame(s->decoder, s->frame);
      if (got == 0) {
        // A picture that is only partly there has any colour in its other part.
        const bool whole = s->frame->decode_error_flags == 0 && (s->frame->flags & AV_FRAME_FLAG_CORRUPT) == 0;
        if (whole) convert(s, *static_cast<cv::Mat*>(mat));
        av_frame_unref(s->frame);
        if (whole) return;
      }
      if (got == 0) continue;
      av_packet_unref(s->packet);
      const int code = av_read_frame(s->format, s->packet);
      // After a silence it gives what it still had: a picture from before, that would
      // pass for one of now. And packets that make no picture are no sign of life.
      if (over(s)) throw failed(s, AVERROR_EXIT);
      if (code == AVERROR(EAGAIN)) continue;
      check(s, code);
      // What cannot be decoded is told by the frames that do not come.
      if (s->packet->stream_index == s->index) avcodec_send_packet(s->decoder, s->packet);
    }
  });
}

void sg_stream_stop(sg_stream* s) { s->stopped = true; }

void sg_stream_close(sg_stream* s) {
  // It says goodbye, so that the camera has room for the next one.
  s->stopped = false;
  s->deadline = steady::now() + std::chrono::seconds(1);
  sws_freeContext(s->scaler);
  avcodec_free_context(&s->decoder);
  avformat_close_input(&s->format);
  av_frame_free(&s->frame);
  av_packet_free(&s->packet);
  delete s;
}
