// How work stands in the queue. Internal to server/pipeline.
#pragma once

#include <memory>

#include "server/base/clock.h"
#include "server/pipeline/options.h"
#include "server/pipeline/work.h"
#include "server/pipeline/work_queue.h"
#include "server/pipeline/work_times.h"

namespace pixpool {

// An entry for decoding and a pass of so many seconds, without its work. The clock must outlive it.
WorkQueue::Entry EntryOf(const PipelineOptions& options, const WorkTimes& times, const Clock* clock,
                         const std::shared_ptr<RequestWork>& work, double decode, double pass);

// The same for an image that was not begun, with the seconds that are predicted. Long decoding
// occupies a thread of those that serve the queue, whose crew has the key `decoders`.
WorkQueue::Entry EntryOf(const PipelineOptions& options, const WorkTimes& times, const Clock* clock,
                         const ImageRef& image, const void* decoders);

}  // namespace pixpool
