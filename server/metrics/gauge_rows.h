// The gauges that a scrape reads: their names and help. Internal to server/metrics.
#pragma once

#include <iterator>

#include "server/metrics/metrics.h"

namespace pixpool {

// Where a gauge's value is read from.
struct GaugeRow {
  double GaugeReadings::*value;
  const char* name;
  const char* help;
  const char* pool = nullptr;  // label `pool`, where several rows share a name
};
inline constexpr char kThreads[] = "pixpool_threads";
inline constexpr char kThreadsHelp[] = "Threads by pool.";
inline constexpr GaugeRow kGauges[] = {
    {&GaugeReadings::queue_capacity, "pixpool_queue_capacity",
     "Most requests that may be in flight: the option max-in-flight-requests."},
    {&GaugeReadings::overloaded, "pixpool_overloaded",
     "1 while only as many interactive images are taken as can be answered at once."},
    {&GaugeReadings::image_limit, "pixpool_image_limit",
     "Interactive images that are taken at a time while overloaded; found by measuring."},
    {&GaugeReadings::requests_in_flight, "pixpool_in_flight_requests", "Requests in flight."},
    {&GaugeReadings::calls_waiting_for_models, "pixpool_calls_waiting_for_models",
     "Calls that wait until a model that was idle is loaded."},
    {&GaugeReadings::bytes_in_flight, "pixpool_in_flight_bytes",
     "Bytes of images and of answers in flight."},
    {&GaugeReadings::bytes_capacity, "pixpool_in_flight_bytes_limit",
     "Most bytes of images and answers that may be in flight."},
    {&GaugeReadings::pixels_in_flight, "pixpool_in_flight_pixels", "Pixels in flight."},
    {&GaugeReadings::pixels_capacity, "pixpool_in_flight_pixels_limit",
     "Most pixels that may be in flight."},
    {&GaugeReadings::unread_answers, "pixpool_unread_answers",
     "Answers that are being written: ready, but not yet taken by their clients."},
    {&GaugeReadings::unread_answer_bytes, "pixpool_unread_answer_bytes",
     "Bytes of the answers that are being written."},
    {&GaugeReadings::network_memory, "pixpool_network_memory_bytes",
     "Memory of network passes and of what models keep between them, beyond what loading took."},
    {&GaugeReadings::network_memory_capacity, "pixpool_network_memory_capacity_bytes",
     "Most memory that network passes may take."},
    {&GaugeReadings::passes_waiting, "pixpool_passes_waiting_for_memory",
     "Network passes that wait until their memory fits."},
    {&GaugeReadings::cached_answers, "pixpool_response_cache_entries",
     "Answers in the response cache."},
    {&GaugeReadings::cache_bytes, "pixpool_response_cache_bytes",
     "Memory of the response cache, with keys and bookkeeping."},
    {&GaugeReadings::cache_capacity, "pixpool_response_cache_capacity_bytes",
     "Most memory of the response cache: the option response-cache-bytes; 0 where it is off."},
    {&GaugeReadings::memory_limit, "pixpool_memory_limit_bytes",
     "Memory that the process may use: the option max-memory, else the limit of the container or "
     "machine; 0 where there is none."},
    {&GaugeReadings::decode_threads, kThreads, kThreadsHelp, "decode"},
    {&GaugeReadings::instance_threads, kThreads, kThreadsHelp, "instance"},
    {&GaugeReadings::draw_threads, kThreads, kThreadsHelp, "draw"},
    {&GaugeReadings::reply_threads, kThreads, kThreadsHelp, "reply"},
    {&GaugeReadings::decode_workers, "pixpool_decode_workers",
     "Processes that decode images; 0 where the server does."},
    {&GaugeReadings::decode_workers_filtered, "pixpool_decode_workers_filtered",
     "Those of them whose system calls are filtered."},
    {&GaugeReadings::connections, "pixpool_connections", "Connections of the gRPC port."},
    {&GaugeReadings::connections_capacity, "pixpool_connections_limit",
     "Most connections that the gRPC port keeps."},
};
static_assert(std::size(kGauges) * sizeof(double) == sizeof(GaugeReadings),
              "every member of GaugeReadings is a double and has its row");

}  // namespace pixpool
