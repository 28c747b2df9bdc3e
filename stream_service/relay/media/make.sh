#!/usr/bin/env bash
# Makes the bundled slate (away.ts) anew beside this script. Needs ffmpeg with libx264 and the DejaVu fonts.
# It is the same card as the keeper makes for each kind of trouble (../slate.py), with words for all of them.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../../.."
"${PYTHON:-python3}" - "$here/away.ts" <<'PYTHON'
import shutil
import sys
from pathlib import Path

from stream_service.relay import slate

ffmpeg, font = shutil.which("ffmpeg"), next((font for font in slate.FONTS if font.exists()), None)
if ffmpeg is None or font is None:
    sys.exit("ffmpeg or the DejaVu fonts are missing; install them: apt-get install ffmpeg fonts-dejavu-core")
Path(sys.argv[1]).write_bytes(slate.make_card(ffmpeg, font, "This channel is away for the moment"))
PYTHON
ls -l "$here/away.ts"
