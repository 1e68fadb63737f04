#pragma once

#include "server/image/png_chunks.h"

namespace pixpool {

// How many rows the compressed pixels hold (over all passes of an interlaced picture) where they
// end properly, behind a row, before all rows are there: Pillow takes such a picture and leaves the
// rest of its pixels zero. -1 where it does not. `chunks` has been taken up to the pixels, and
// comes to stand behind them. Throws std::bad_alloc.
int RowsBeforeEnd(PngChunks* chunks);

}  // namespace pixpool
