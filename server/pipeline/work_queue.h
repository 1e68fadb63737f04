// What waits for a decode thread, and whose turn it is. Internal to server/pipeline.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/synchronization/mutex.h"
#include "server/base/call_context.h"

namespace pixpool {

// Orders the work of all calls.
//
// PARAMETERS AND BEHAVIOR
//   Work belongs to a lane (a model; pooling of tensors). A piece with a window goes when fewer
//   pieces of its lane are ahead, so that those are as many as the instances soon take: each turn
//   comes with a place, and the place is free again when what holds it is destroyed. So a backlog
//   waits here, in order, and not behind the decoding, where nothing could overtake it. The lane's
//   window is the largest of its pieces; one with a smaller window goes when fewer like it are
//   ahead, too.
//   Interactive work goes first, and finds places that bulk work holds no hindrance. Bulk work gets
//   a sixteenth of the time at least, and all that interactive work leaves.
//   Within a class callers share the time, whatever their pieces cost and however many each has: it
//   is the turn of the caller who has had the least (start-time fair queueing by predicted
//   seconds; who comes back has no arrears, and who was kept from its turns few). The work of a
//   caller is in order of arrival, or, where `newest_first` says so of as many pieces, interactive
//   work in the opposite one: under a long backlog the oldest is the likeliest to be late already,
//   and under a short one it would wait for ever. What is left of an image that was begun goes
//   before the caller's other work. What was begun cannot be interrupted. So a long piece says
//   which threads it will occupy, its crew, and no more long pieces are out than a crew has
//   threads: none waits behind another where short work would have to wait for both. Bulk pieces do
//   not count against interactive ones, since they may wait for those on the way. While short
//   interactive work comes, one thread of a crew is left to it, where there are several.
//
// Thread-safe. Push never blocks and never refuses: bounding is Admission's business. After Close,
// Next hands out what is left, without regard to windows and crews, then nullopt. Must outlive the
// places and holds that it hands out.
class WorkQueue {
 public:
  // What comes with a turn. `urgent` work is to go ahead of other work from here on as well.
  struct Turn {
    bool urgent = false;
    std::shared_ptr<void> place;
    // Of a thread of the crew, until what holds it is destroyed; null for what is short.
    std::shared_ptr<void> hold;
  };
  using Work = absl::AnyInvocable<void(Turn) &&>;

  // Threads that work on pieces, known by an address.
  struct Crew {
    const void* key = nullptr;  // null: the piece is short
    int threads = 1;
  };

  struct Entry {
    const void* lane = nullptr;
    int window = 0;  // 0: none
    Priority priority = Priority::kInteractive;
    std::string caller;
    double seconds = 0;  // predicted, on one thread; 0: not known
    Crew crew;           // that a long piece occupies
    TimePoint since;     // when it began to wait
    bool begun = false;  // of an image that was begun
    // Whether the call is over, so that its turn costs nothing; null: never. Called with the lock
    // held, must not throw.
    std::function<bool()> over;
    Work work;
  };

  // `newest_first` is called with the lock held, with the pieces that wait and are not begun.
  explicit WorkQueue(std::function<bool(int depth)> newest_first = nullptr);

  // Throws std::bad_alloc; nothing was pushed then.
  void Push(Entry entry);

  // Blocks until a piece may go; its work is to be called once, with the turn. Throws
  // std::bad_alloc before it takes a piece.
  struct Ready {
    Work work;
    Turn turn;
  };
  std::optional<Ready> Next();

  // Whether Next would find a piece that may go.
  bool ready() const;

  // Calls the work whose turn it is until Close, and then what is left. Where there is no memory
  // for a turn, waits for some.
  void Serve();

  void Close();

  // Gives up a lane, and the crew of the same address, to which nothing more is pushed. False, and
  // without effect, while a piece of it waits or a place or hold is out.
  bool ForgetLane(const void* lane);

  // Pieces that wait.
  int depth() const;
  // Of these, images that were not begun.
  int images() const;

  // What waits in a lane.
  struct Waiting {
    int pieces = 0;
    std::array<std::optional<TimePoint>, kPriorityCount> oldest;  // since when, by class
  };
  std::map<const void*, Waiting> waiting() const;

 private:
  struct Lane {
    int window = 0;
    std::array<int, 2> ahead{};  // by class
  };
  struct LongWork {
    int threads = 0;
    std::array<int, 2> out{};  // pieces that have a hold, by class
  };
  // Pieces that may go or may not together.
  struct Kind {
    Lane* lane = nullptr;
    LongWork* crew = nullptr;  // null: short
    int window = 0;
    std::array<int, 2> waiting{};
    std::array<int, 2> ahead{};
  };
  struct Piece {
    int64_t number = 0;  // in order of arrival
    double seconds = 0;
    TimePoint since;
    bool begun = false;
    std::function<bool()> over;
    Work work;
  };
  using Line = std::deque<Piece>;  // those that were begun first
  struct Caller {
    double served = 0;  // seconds of work, counted as in Class::served
    int64_t last = 0;   // number of the turn or arrival that settled `served`
    int waiting = 0;
    std::map<Kind*, Line> lines;
  };
  // The callers of one class. One without work is kept until the others have had as much.
  struct Class {
    double served = 0;  // the most that a caller had before its turn
    int waiting = 0;
    std::map<std::string, Caller> callers;
  };
  // Counts until it is destroyed, in what `counts` point to.
  struct Token {
    explicit Token(WorkQueue* of) : queue(of) {}
    ~Token();
    void Count(std::array<int*, 2> in);
    WorkQueue* const queue;
    std::array<int*, 2> counts{};
  };
  // A caller's piece that may go.
  struct Choice {
    Caller* caller = nullptr;  // null: none
    Kind* kind = nullptr;
    bool back = false;  // which end of the line
  };

  Kind* KindOf(const Entry& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool MayGo(const Kind& kind, Priority priority) const ABSL_SHARED_LOCKS_REQUIRED(mu_);
  bool AnyMayGo() const ABSL_SHARED_LOCKS_REQUIRED(mu_);
  bool BulkIsDue() const ABSL_SHARED_LOCKS_REQUIRED(mu_);
  Choice Choose(Priority priority) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The piece of a caller that goes before its others.
  Choice ChooseOf(Caller* caller, Priority priority, bool newest) const
      ABSL_SHARED_LOCKS_REQUIRED(mu_);
  Piece Take(const Choice& choice, Priority priority) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Settles what each has had after a turn that took so many seconds.
  void Charge(Caller* caller, Priority priority, double seconds) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const std::function<bool(int depth)> newest_first_;

  mutable absl::Mutex mu_;
  std::map<const void*, Lane> lanes_ ABSL_GUARDED_BY(mu_);
  std::map<const void*, LongWork> crews_ ABSL_GUARDED_BY(mu_);
  std::map<std::tuple<Lane*, LongWork*, int>, Kind> kinds_ ABSL_GUARDED_BY(mu_);
  std::array<Class, 2> classes_ ABSL_GUARDED_BY(mu_);
  int depth_ ABSL_GUARDED_BY(mu_) = 0;
  int begun_ ABSL_GUARDED_BY(mu_) = 0;  // of these, of images that were begun
  int64_t last_ ABSL_GUARDED_BY(mu_) = 0;
  // Turns of long pieces since short interactive work came.
  int long_turns_ ABSL_GUARDED_BY(mu_);
  // Interactive work since bulk work last had a turn or none waited, and what that turn took.
  double without_bulk_ ABSL_GUARDED_BY(mu_) = 0;
  double bulk_piece_ ABSL_GUARDED_BY(mu_);
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace pixpool
