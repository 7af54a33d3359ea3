//go:build opencv && cgo

#include "shim.h"

#include "depthwise.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <malloc.h>
#include <opencv2/core.hpp>
#include <opencv2/core/utils/logger.hpp>
#include <opencv2/dnn.hpp>
#include <opencv2/dnn/layer.details.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <opencv2/videoio.hpp>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

int keep_silent(int, const char*, const char*, const char*, int, void*) { return 0; }

// What goes wrong is returned as an error and told once: OpenCV and FFmpeg need not
// write to stderr besides. One thread until somebody asks for more, so that a worker
// leaves the other cores alone.
const bool prepared = [] {
  setenv("OPENCV_FFMPEG_LOGLEVEL", "-8", 0);
  cv::utils::logging::setLogLevel(cv::utils::logging::LOG_LEVEL_SILENT);
  cv::redirectError(keep_silent);
  cv::setNumThreads(1);
  return true;
}();

template <typename F>
char* guarded(F f) {
  try {
    f();
    return nullptr;
  } catch (const cv::Exception& e) {
    return strdup(e.err.empty() ? e.what() : e.err.c_str());
  } catch (const std::exception& e) {
    return strdup(e.what());
  } catch (...) {
    return strdup("unknown C++ exception");
  }
}

}  // namespace

char* sg_decode(const void* data, size_t size, void* mat) {
  return guarded([&] {
    const cv::Mat bytes(1, static_cast<int>(size), CV_8UC1, const_cast<void*>(data));
    cv::imdecode(bytes, cv::IMREAD_COLOR, static_cast<cv::Mat*>(mat));
    if (static_cast<cv::Mat*>(mat)->empty()) throw std::runtime_error("cannot be decoded");
  });
}

char* sg_copy_pixels(void* mat, int width, int height, const void* bgr) {
  return guarded([&] {
    cv::Mat(height, width, CV_8UC3, const_cast<void*>(bgr)).copyTo(*static_cast<cv::Mat*>(mat));
  });
}

char* sg_read_net(const void* onnx, size_t size, void** net) {
  return guarded([&] {
    static const bool registered = [] {
      const cv::dnn::Net first;  // OpenCV's own layers must be there before ours
      CV_Assert(cv::dnn::LayerFactory::isLayerRegistered("Convolution"));
      sg_register_depthwise();
      return true;
    }();
    (void)registered;
    cv::dnn::Net n = cv::dnn::readNetFromONNX(static_cast<const char*>(onnx), size);
    if (n.empty()) throw std::runtime_error("no layers");
    n.setPreferableBackend(cv::dnn::DNN_BACKEND_OPENCV);
    n.setPreferableTarget(cv::dnn::DNN_TARGET_CPU);
    *net = new cv::dnn::Net(n);
  });
}

void sg_close_net(void* net) { delete static_cast<cv::dnn::Net*>(net); }

char* sg_forward(void* net, const void* mat, const char* input, const float* table,
                 const int order[3], const sg_output* outputs, int count) {
  return guarded([&] {
    const cv::Mat& picture = *static_cast<const cv::Mat*>(mat);
    CV_Assert(picture.type() == CV_8UC3);
    const int sizes[] = {1, 3, picture.rows, picture.cols};
    cv::Mat blob(4, sizes, CV_32F);
    for (int c = 0; c < 3; c++) {
      const float* values = table + 256 * c;
      float* to = blob.ptr<float>(0, c);
      for (int y = 0; y < picture.rows; y++) {
        const uchar* from = picture.ptr<uchar>(y) + order[c];
        for (int x = 0; x < picture.cols; x++, from += 3) *to++ = values[*from];
      }
    }
    cv::dnn::Net& n = *static_cast<cv::dnn::Net*>(net);
    n.setInput(blob, input);
    std::vector<cv::String> names;
    for (int i = 0; i < count; i++) names.emplace_back(outputs[i].name);
    std::vector<cv::Mat> results;
    n.forward(results, names);
    for (int i = 0; i < count; i++) {
      const cv::Mat& r = results.at(i);
      if (r.type() != CV_32F || !r.isContinuous() || r.total() != outputs[i].count)
        throw std::runtime_error(std::string(outputs[i].name) + ": " + std::to_string(r.total()) +
                                 " values, want " + std::to_string(outputs[i].count));
      std::memcpy(outputs[i].into, r.ptr<float>(), sizeof(float) * outputs[i].count);
    }
  });
}

void sg_set_threads(int n) { cv::setNumThreads(n); }

char* sg_open_live(const char* url, int device, int timeout_ms, void** live) {
  return guarded([&] {
    auto capture = new cv::VideoCapture();
    *live = capture;
    bool open;
    if (device >= 0) {
      open = capture->open(device, cv::CAP_V4L2);
      capture->set(cv::CAP_PROP_BUFFERSIZE, 1);
    } else {
      open = capture->open(url, cv::CAP_FFMPEG,
                           {cv::CAP_PROP_OPEN_TIMEOUT_MSEC, timeout_ms, cv::CAP_PROP_READ_TIMEOUT_MSEC, timeout_ms});
    }
    if (!open) {
      delete capture;
      *live = nullptr;
      throw std::runtime_error("cannot be opened");
    }
  });
}

char* sg_read_live(void* live, void* mat) {
  return guarded([&] {
    cv::Mat& out = *static_cast<cv::Mat*>(mat);
    if (!static_cast<cv::VideoCapture*>(live)->read(out)) out.release();
    if (!out.empty() && out.type() != CV_8UC3) throw std::runtime_error("frames are not 8 bit BGR");
  });
}

char* sg_close_live(void* live) {
  return guarded([&] { delete static_cast<cv::VideoCapture*>(live); });
}

char* sg_grey(const void* mat, int width, int height, void* grey) {
  return guarded([&] {
    cv::Mat small, out(height, width, CV_8UC1, grey);
    cv::resize(*static_cast<const cv::Mat*>(mat), small, cv::Size(width, height), 0, 0, cv::INTER_AREA);
    cv::cvtColor(small, out, cv::COLOR_BGR2GRAY);
    if (out.data != grey) throw std::runtime_error("grey: moved");
  });
}

char* sg_grey_jpeg(const void* data, size_t size, long most, int width, int height, void* grey) {
  unsigned char* pixels = nullptr;
  int w = 0, h = 0;
  if (char* text = sg_jpeg_small(data, size, most, width, height, &pixels, &w, &h)) return text;
  char* text = guarded([&] {
    const cv::Mat from(h, w, CV_8UC1, pixels);
    cv::Mat out(height, width, CV_8UC1, grey);
    cv::resize(from, out, out.size(), 0, 0, cv::INTER_AREA);
    if (out.data != grey) throw std::runtime_error("grey: moved");
  });
  std::free(pixels);
  return text;
}

size_t sg_heap_bytes(void) {
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 33)
  const struct mallinfo2 m = mallinfo2();
  return m.uordblks + m.hblkhd;
#else
  return 0;
#endif
}

char* sg_veil(void* mat, const int* keep, int count) {
  return guarded([&] {
    cv::Mat& picture = *static_cast<cv::Mat*>(mat);
    const cv::Rect all(0, 0, picture.cols, picture.rows);
    cv::Mat small, veiled;
    const int block = std::max(8, std::min(picture.cols, picture.rows) / 24);
    cv::resize(picture, small, cv::Size(std::max(1, picture.cols / block), std::max(1, picture.rows / block)), 0, 0, cv::INTER_AREA);
    cv::resize(small, veiled, picture.size(), 0, 0, cv::INTER_NEAREST);
    for (int i = 0; i < count; i++) {
      const cv::Rect r = cv::Rect(keep[4 * i], keep[4 * i + 1], keep[4 * i + 2], keep[4 * i + 3]) & all;
      if (r.area() > 0) picture(r).copyTo(veiled(r));
    }
    veiled.copyTo(picture);
  });
}
