"""A camera for tests: RTSP over TCP on 127.0.0.1, with GStreamer's own server.

The argument is the codec, h264 or h265. The first line of the output is the port.
Each line of the input is a command and is answered with a line, "ok" or what is
wrong:

    stall           no frames any more; connections stay
    flow            frames again
    size 640 480    pictures of another size, in the stream that runs
    drop            every connection is closed, and none is taken
    back            connections are taken again, on the same port

It ends with its input.
"""

import sys
import threading

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

ENCODE = {
    # A key frame every second: who comes late sees something soon.
    "h264": "x264enc tune=zerolatency speed-preset=ultrafast bitrate=800 threads=1 key-int-max=10"
    " ! video/x-h264,profile=baseline ! rtph264pay name=pay0 pt=96 config-interval=-1",
    "h265": "x265enc tune=zerolatency speed-preset=ultrafast bitrate=800 key-int-max=10 option-string=pools=1:frame-threads=1:log-level=0"
    " ! h265parse config-interval=-1 ! rtph265pay name=pay0 pt=96 config-interval=-1",
}


class Camera:
    """One camera and what is wrong with it."""

    def __init__(self, codec):
        self.size = (640, 360)
        self.stalled = False
        self.medias = []
        self.server = GstRtspServer.RTSPServer()
        self.server.set_address("127.0.0.1")
        self.server.set_service("0")
        factory = GstRtspServer.RTSPMediaFactory()
        # The snow in a corner of the test picture is never the same.
        factory.set_launch(
            "( videotestsrc is-live=true ! capsfilter name=size ! valve name=valve ! " + ENCODE[codec] + " )"
        )
        factory.set_shared(True)
        factory.set_protocols(GstRtsp.RTSPLowerTrans.TCP)
        factory.connect("media-configure", self.configure)
        self.server.get_mount_points().add_factory("/camera", factory)
        self.source = None
        self.back()

    def configure(self, _factory, media):
        self.medias.append(media)
        media.connect("unprepared", self.medias.remove)
        self.apply(media)

    def apply(self, media):
        pipeline = media.get_element()
        width, height = self.size
        caps = Gst.Caps.from_string(f"video/x-raw,format=I420,width={width},height={height},framerate=10/1")
        pipeline.get_by_name("size").set_property("caps", caps)
        pipeline.get_by_name("valve").set_property("drop", self.stalled)

    def back(self):
        if self.source is None:
            self.source = self.server.attach(None)
            if not self.source:
                raise RuntimeError("the port cannot be had again")

    def do(self, line):
        word, *rest = line.split()
        if word in ("stall", "flow") and not rest:
            self.stalled = word == "stall"
        elif word == "size" and len(rest) == 2:
            self.size = int(rest[0]), int(rest[1])
        elif word == "drop" and not rest:
            if self.source is not None:
                self.server.set_service(str(self.server.get_bound_port()))
                GLib.source_remove(self.source)
                self.source = None
            self.server.client_filter(lambda *_: GstRtspServer.RTSPFilterResult.REMOVE)
        elif word == "back" and not rest:
            self.back()
        else:
            raise ValueError(f"not a command: {line!r}")
        for media in list(self.medias):
            self.apply(media)


def main():
    Gst.init(None)
    loop = GLib.MainLoop()
    camera = Camera(sys.argv[1])
    print(camera.server.get_bound_port(), flush=True)

    def do(line):
        try:
            camera.do(line)
            print("ok", flush=True)
        except Exception as e:  # told to the test, which fails
            print(f"{type(e).__name__}: {e}", flush=True)
        return False

    def listen():
        for line in sys.stdin:
            GLib.idle_add(do, line)
        GLib.idle_add(loop.quit)

    threading.Thread(target=listen, daemon=True).start()
    loop.run()


main()
