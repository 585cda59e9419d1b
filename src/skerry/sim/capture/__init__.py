"""The capture module: pictures of a folder, a video file, a camera or a stream, to be predicted."""
