#!/usr/bin/env bash
# Makes the three test pictures of `make demo` anew (one.ts, two.ts, three.ts) beside this script. Needs ffmpeg with libx264.
#
# Each file is exactly 16 s: 400 frames at 25 per second (3600 ticks of 90 kHz each) and 750 AAC frames of 1024 samples at
# 48 kHz (1920 ticks each) both last 1,440,000 ticks, so neither picture nor sound has a seam when the file is looped.
# The tones are whole numbers of periods in 16 s for the same reason. No B-frames, a closed GOP each second.
set -euo pipefail
cd "$(dirname "$0")"

command -v ffmpeg >/dev/null || { echo "ffmpeg is missing; install it: apt-get install ffmpeg" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

make_one() { # name, lavfi picture, tone in Hz, x264 quality
    ffmpeg -v error -y -filter_complex "$2,format=yuv420p[v]" -map '[v]' -frames:v 400 -an \
        -c:v libx264 -threads 1 -profile:v main -preset veryslow -crf "$4" -bf 0 -flags +cgop \
        -g 25 -keyint_min 25 -sc_threshold 0 -x264-params "aud=1:repeat-headers=1" -bitexact -f mpegts "$work/video.ts"
    # One second more than is used: the encoder's run-in (priming) is left out by starting at 1 s.
    ffmpeg -v error -y -f lavfi -i "sine=frequency=$3:sample_rate=48000,volume=0.5" -t 18 -ac 1 \
        -c:a aac -b:a 40k -bitexact -f mpegts "$work/long.ts"
    ffmpeg -v error -y -i "$work/long.ts" -ss 1 -frames:a 750 -c copy -bitexact -f mpegts "$work/audio.ts"
    ffmpeg -v error -y -i "$work/video.ts" -i "$work/audio.ts" -map 0:v -map 1:a -c copy -bitexact \
        -bsf:v 'setts=ts=N*3600' -bsf:a 'setts=ts=N*1920' \
        -muxdelay 0.5 -pes_payload_size 1200 \
        -metadata service_provider=Aerial -metadata "service_name=Test picture $1" -f mpegts "$1.ts"
}

bars='color=black:s=640x360:r=25[bg]; smptehdbars=s=640x280:r=25[bars]; color=white:s=40x60:r=25[box];
      [bg][bars]overlay=0:0:shortest=0[p]; [p][box]overlay=x=mod(n*6\,600):y=290:shortest=0'
make_one one 'testsrc2=size=640x360:rate=25' 440 33
make_one two "$bars" 660 28
make_one three 'gradients=size=640x360:rate=25:seed=7:nb_colors=4:speed=0.02:duration=16' 330 28
ls -l -- *.ts
