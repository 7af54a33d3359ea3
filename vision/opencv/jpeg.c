//go:build opencv && cgo

// libjpeg itself, which OpenCV decodes with, too: it tells what it had to guess, which
// OpenCV keeps to itself, and decodes an eighth of a picture for a fraction of the time.
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jerror.h>
#include <jpeglib.h>

#include "shim.h"

typedef struct {
  struct jpeg_error_mgr base;
  jmp_buf out;
  char text[JMSG_LENGTH_MAX];  // of the first damage
} faults;

static void on_error(j_common_ptr j) {
  faults* f = (faults*)j->err;
  if (f->text[0] == 0) j->err->format_message(j, f->text);
  longjmp(f->out, 1);
}

// What libjpeg warns of is damage, but for words of a header that do not matter and
// bytes too many, which some cameras send.
static void on_message(j_common_ptr j, int level) {
  faults* f = (faults*)j->err;
  if (level >= 0 || f->text[0] != 0) return;
  switch (j->err->msg_code) {
    case JWRN_EXTRANEOUS_DATA:
    case JWRN_JFIF_MAJOR:
    case JWRN_ADOBE_XFORM:
    case JWRN_TOO_MUCH_DATA:
      return;
    default:
      j->err->format_message(j, f->text);
  }
}

char* sg_jpeg_small(const void* data, size_t size, long most, int least_width, int least_height,
                    unsigned char** grey, int* width, int* height) {
  struct jpeg_decompress_struct j;
  faults f;
  unsigned char* volatile pixels = NULL;
  memset(&j, 0, sizeof j);
  memset(&f, 0, sizeof f);
  j.err = jpeg_std_error(&f.base);
  f.base.error_exit = on_error;
  f.base.emit_message = on_message;
  if (setjmp(f.out)) {
    jpeg_destroy_decompress(&j);
    free(pixels);
    return strdup(f.text);
  }
  jpeg_create_decompress(&j);
  jpeg_mem_src(&j, data, size);
  jpeg_read_header(&j, TRUE);
  if (j.image_width == 0 || j.image_height == 0 || (long)j.image_width > most / (long)j.image_height) {
    snprintf(f.text, sizeof f.text, "%u x %u pixels", j.image_width, j.image_height);
    longjmp(f.out, 1);
  }
  if (j.jpeg_color_space == JCS_GRAYSCALE || j.jpeg_color_space == JCS_YCbCr || j.jpeg_color_space == JCS_RGB) {
    j.out_color_space = JCS_GRAYSCALE;
  } else if (grey != NULL) {
    snprintf(f.text, sizeof f.text, "neither grey nor of three colours");
    longjmp(f.out, 1);
  }
  j.dct_method = JDCT_IFAST;
  j.do_fancy_upsampling = FALSE;
  j.scale_num = 1;
  j.scale_denom = 8;
  while (j.scale_denom > 1 && ((int)(j.image_width / j.scale_denom) < least_width ||
                               (int)(j.image_height / j.scale_denom) < least_height))
    j.scale_denom /= 2;
  jpeg_start_decompress(&j);
  const size_t row = (size_t)j.output_width * j.output_components;
  pixels = malloc(grey != NULL ? row * j.output_height : row);
  if (pixels == NULL) {
    snprintf(f.text, sizeof f.text, "no memory");
    longjmp(f.out, 1);
  }
  while (j.output_scanline < j.output_height) {
    JSAMPROW into = pixels + (grey != NULL ? row * j.output_scanline : 0);
    jpeg_read_scanlines(&j, &into, 1);
  }
  *width = (int)j.output_width;
  *height = (int)j.output_height;
  jpeg_finish_decompress(&j);
  if (f.text[0] != 0) longjmp(f.out, 1);
  jpeg_destroy_decompress(&j);
  if (grey != NULL) {
    *grey = pixels;
  } else {
    free(pixels);
  }
  return NULL;
}
