//go:build opencv && cgo

#include "depthwise.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <opencv2/core.hpp>
#include <opencv2/core/utility.hpp>
#include <opencv2/dnn.hpp>
#include <opencv2/dnn/all_layers.hpp>
#include <opencv2/dnn/layer.details.hpp>
#include <vector>

#define INLINE static inline __attribute__((always_inline))

namespace {

// Eight floats at once; the compiler makes of them what the processor has.
typedef float Vec __attribute__((vector_size(32)));
const int kLanes = 8;
const int kBlock = 2 * kLanes;  // columns that are computed together

// Plane is one channel to be convolved. Its rows are padded, and those of a stride of 2
// hold the even columns before the odd ones, so that neighbours in the result are
// neighbours in memory.
struct Plane {
  const float* rows;
  int row;  // floats
  int stride, half;  // half: where the odd columns begin
  const float* weights;
  float bias, low, high;
  float* out;
  int height, width;  // of the result
};

INLINE Vec load(const float* p) {
  Vec v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

INLINE Vec all(float x) { return Vec{x, x, x, x, x, x, x, x}; }

INLINE void store(float* to, Vec v, int count, float low, float high) {
  float f[kLanes];
  std::memcpy(f, &v, sizeof f);
  for (int i = 0; i < kLanes; i++) f[i] = std::min(std::max(f[i], low), high);
  std::memcpy(to, f, sizeof(float) * (count < kLanes ? count : kLanes));
}

// Rows of the result that are computed together share what they load.
template <int K, int Rows>
INLINE void rows(const Plane& p, int y) {
  for (int x = 0; x < p.width; x += kBlock) {
    Vec sum[Rows][2];
    for (int r = 0; r < Rows; r++) sum[r][0] = sum[r][1] = all(p.bias);
    for (int ky = 0; ky < K; ky++) {
      for (int kx = 0; kx < K; kx++) {
        const Vec w = all(p.weights[ky * K + kx]);
        const int column = p.stride == 1 ? kx : (kx & 1) * p.half + kx / 2;
        for (int r = 0; r < Rows; r++) {
          const float* from = p.rows + ((y + r) * p.stride + ky) * p.row + column + x;
          sum[r][0] += w * load(from);
          sum[r][1] += w * load(from + kLanes);
        }
      }
    }
    for (int r = 0; r < Rows; r++) {
      float* to = p.out + (y + r) * p.width + x;
      store(to, sum[r][0], p.width - x, p.low, p.high);
      if (p.width - x > kLanes) store(to + kLanes, sum[r][1], p.width - x - kLanes, p.low, p.high);
    }
  }
}

template <int K>
INLINE void convolve(const Plane& p) {
  int y = 0;
  for (; y + 2 <= p.height; y += 2) rows<K, 2>(p, y);
  if (y < p.height) rows<K, 1>(p, y);
}

INLINE void convolve_any(const Plane& p, int kernel) {
  if (kernel == 3)
    convolve<3>(p);
  else
    convolve<5>(p);
}

#if defined(__x86_64__)
__attribute__((target("avx2,fma"))) void convolve_avx2(const Plane& p, int kernel) {
  convolve_any(p, kernel);
}
const bool has_avx2 = cv::checkHardwareSupport(CV_CPU_AVX2) && cv::checkHardwareSupport(CV_CPU_FMA3);
#endif

void convolve_plane(const Plane& p, int kernel) {
#if defined(__x86_64__)
  if (has_avx2) return convolve_avx2(p, kernel);
#endif
  convolve_any(p, kernel);
}

class Depthwise : public cv::dnn::Layer {
 public:
  Depthwise(const cv::dnn::LayerParams& params, int kernel, int stride)
      : Layer(params), kernel_(kernel), stride_(stride), low_(lowest()), high_(highest()) {
    blobs = params.blobs;
  }

  static cv::Ptr<cv::dnn::Layer> create(cv::dnn::LayerParams& params) {
    int kernel = 0, stride = 0;
    if (fits(params, &kernel, &stride)) return cv::makePtr<Depthwise>(params, kernel, stride);
    return cv::dnn::ConvolutionLayer::create(params);
  }

  bool supportBackend(int backend) override { return backend == cv::dnn::DNN_BACKEND_OPENCV; }

  bool getMemoryShapes(const std::vector<cv::dnn::MatShape>& inputs, const int,
                       std::vector<cv::dnn::MatShape>& outputs,
                       std::vector<cv::dnn::MatShape>&) const override {
    CV_Assert(inputs.size() == 1 && inputs[0].size() == 4 && inputs[0][1] == blobs[0].size[0]);
    cv::dnn::MatShape out = inputs[0];
    for (int i = 2; i < 4; i++) {
      CV_Assert(inputs[0][i] >= 1);
      out[i] = (inputs[0][i] - 1) / stride_ + 1;  // padding of half a kernel
    }
    outputs.assign(1, out);
    return false;
  }

  // Layers that follow and only cut values off are done in passing, one or several; no
  // layer at all undoes that. A layer of another kind is refused, and changes nothing.
  bool setActivation(const cv::Ptr<cv::dnn::ActivationLayer>& layer) override {
    if (layer.empty()) {
      low_ = lowest();
      high_ = highest();
      return false;
    }
    if (const cv::Ptr<cv::dnn::ReLU6Layer> clip = layer.dynamicCast<cv::dnn::ReLU6Layer>())
      return cut(clip->minValue, clip->maxValue);
    const cv::Ptr<cv::dnn::ReLULayer> relu = layer.dynamicCast<cv::dnn::ReLULayer>();
    if (relu && relu->negativeSlope == 0) return cut(0, highest());
    return false;
  }

  void forward(cv::InputArrayOfArrays ins, cv::OutputArrayOfArrays outs,
               cv::OutputArrayOfArrays) override {
    std::vector<cv::Mat> inputs, outputs;
    ins.getMatVector(inputs);
    outs.getMatVector(outputs);
    const cv::Mat &in = inputs.at(0), &weights = blobs[0];
    cv::Mat& out = outputs.at(0);
    CV_Assert(in.type() == CV_32F && out.type() == CV_32F && in.isContinuous() && out.isContinuous());
    const int channels = in.size[1], height = in.size[2], width = in.size[3];
    const int pad = kernel_ / 2, padded = width + 2 * pad, half = (padded + 1) / 2;

    Plane p;
    p.stride = stride_;
    p.half = half;
    p.row = stride_ == 1 ? padded : 2 * half;
    p.low = low_;
    p.high = high_;
    p.height = out.size[2];
    p.width = out.size[3];
    const int tall = height + 2 * pad;

    cv::parallel_for_(cv::Range(0, in.size[0] * channels), [&](const cv::Range& range) {
      // The last block of a row reads past its end; the sums of what is there are dropped.
      std::vector<float> rows(static_cast<size_t>(tall) * p.row + p.half + kBlock + kernel_, 0.f);
      Plane mine = p;
      mine.rows = rows.data();
      for (int i = range.start; i < range.end; i++) {
        const float* from = in.ptr<float>() + static_cast<size_t>(i) * height * width;
        for (int y = 0; y < height; y++, from += width) {
          float* to = rows.data() + static_cast<size_t>(y + pad) * p.row;
          if (stride_ == 1) {
            std::memcpy(to + pad, from, sizeof(float) * width);
          } else {
            for (int x = 0; x < width; x++) to[((x + pad) & 1) * half + (x + pad) / 2] = from[x];
          }
        }
        const int channel = i % channels;
        mine.weights = weights.ptr<float>() + static_cast<size_t>(channel) * kernel_ * kernel_;
        mine.bias = blobs.size() > 1 ? blobs[1].ptr<float>()[channel] : 0.f;
        mine.out = out.ptr<float>() + static_cast<size_t>(i) * p.height * p.width;
        convolve_plane(mine, kernel_);
      }
    });
  }

 private:
  bool cut(float low, float high) {
    low_ = std::min(std::max(low_, low), high);
    high_ = std::min(std::max(high_, low), high);
    return true;
  }

  static float lowest() { return -std::numeric_limits<float>::infinity(); }
  static float highest() { return std::numeric_limits<float>::infinity(); }

  // ints tells whether all values of a parameter are the same one; `otherwise` is the
  // value of a missing one.
  static bool ints(const cv::dnn::LayerParams& params, const char* name, int otherwise, int* value) {
    *value = otherwise;
    if (!params.has(name)) return true;
    const cv::dnn::DictValue& v = params.get(name);
    if (!v.isInt() || v.size() < 1) return false;
    *value = v.get<int>(0);
    for (int i = 1; i < v.size(); i++)
      if (v.get<int>(i) != *value) return false;
    return true;
  }

  static bool fits(const cv::dnn::LayerParams& params, int* kernel, int* stride) {
    int group, pad, dilation, wide;
    if (params.has("pad_mode") && !params.get<cv::String>("pad_mode").empty()) return false;
    if (!ints(params, "kernel_size", 0, kernel) || !ints(params, "stride", 1, stride) ||
        !ints(params, "pad", 0, &pad) || !ints(params, "dilation", 1, &dilation) ||
        !ints(params, "group", 1, &group) || !ints(params, "num_output", 0, &wide))
      return false;
    if ((*kernel != 3 && *kernel != 5) || (*stride != 1 && *stride != 2) || pad != *kernel / 2 || dilation != 1)
      return false;
    if (params.blobs.empty() || params.blobs.size() > 2) return false;
    const cv::Mat& w = params.blobs[0];
    if (w.dims != 4 || w.type() != CV_32F || !w.isContinuous() || group < 2 || w.size[0] != group ||
        wide != group || w.size[1] != 1 || w.size[2] != *kernel || w.size[3] != *kernel)
      return false;
    return params.blobs.size() == 1 ||
           (params.blobs[1].type() == CV_32F && params.blobs[1].isContinuous() && params.blobs[1].total() == static_cast<size_t>(group));
  }

  const int kernel_, stride_;
  float low_, high_;
};

}  // namespace

void sg_register_depthwise() {
  cv::dnn::LayerFactory::registerLayer("Convolution", Depthwise::create);
}
