// Features of many images over one call, with a bound on how many are under way.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/cpp/client.h"
#include "pixpool/v1/feature_service.pb.h"

namespace pixpool::client {

struct StreamOptions {
  // Model, heads and input options of all images.
  v1::StreamConfig config;
  // Images sent and not answered yet, at least 1; bounds memory here and there.
  int max_in_flight = 16;
  // Time for the whole stream. A stream has no limit unless it is given one: it may be as long as
  // its source.
  absl::Duration timeout = absl::InfiniteDuration();
  // Age at which a StreamFeatures call takes no more images, so that the next ones go into a new
  // one. Servers ask connections to end (pixpool-server after 30 min) and cut the calls that are
  // still there a minute later: calls younger than that minute are never cut.
  absl::Duration max_call_age = absl::Seconds(30);
};

// Any number of images through one StreamFeatures call after the other.
//
// Run may be called once; Cancel from any thread at any time. Images that the server sheds
// (UNAVAILABLE, OVERLOADED) are sent again by the client's retry policy before they count as
// failed; such an image keeps its place among those in flight, and fewer are sent at once until the
// server takes all again. Where the connection is lost (UNAVAILABLE without a reason), the images
// without a result are sent again over a new one, each at most `retry.max_attempts` times in all;
// where none comes about in as many attempts without a result in between, and where the server
// refuses the call, Run returns the error, and the images without a result are the caller's. Each
// image has one result at most, whatever was sent again.
class Stream {
 public:
  // Gives the next image, or nullopt at the end. Called on a thread of the stream, one call at a
  // time; may block.
  using Source = std::function<std::optional<v1::Image>()>;
  // Takes a result, in the order in which images finish; result().index() is the position in the
  // source, from 0. Called on Run's thread; while it blocks, nothing more is read. False cancels
  // the stream.
  using Sink = std::function<bool(v1::StreamFeaturesResponse)>;

  // `client` must outlive the stream.
  Stream(const Client& client, StreamOptions options);
  ~Stream();

  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  // Blocks until every image of `source` has had its result, or the stream broke; then, too, it
  // first waits for a call of `source` to return. OK; CANCELLED after Cancel or a false from
  // `sink`; the stream's error else.
  absl::Status Run(Source source, Sink sink);

  // Ends the stream soon.
  void Cancel();

 private:
  class State;
  const std::shared_ptr<State> state_;
};

}  // namespace pixpool::client
