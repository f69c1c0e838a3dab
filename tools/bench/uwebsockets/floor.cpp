// A floor on uWebSockets: the reads and writes of `bench floor`, on a socket layer in C++.
//
// It takes the floor's flags, and PORT from the environment. Acks are sent from the message handler, as a user of the
// library would. Flushes are prepared bytes, written with uSockets, because the library would frame each message again.
// All flushes of a tick are written at once: the library has no poll between slices.

#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

#include "App.h"

namespace {

constexpr uint32_t ID_FIRST = 1001;
constexpr char MOVE = 3;
constexpr char ACK = 8;
constexpr std::string_view DEFAULT_POSITION{"\xf4\x01\xf4\x01", 4};
constexpr std::string_view FLUSH_FRAME{"\x82\x07\xff\0\0\0\0\0\0", 9};
/// Milliseconds between ticks; the library's timers have whole milliseconds.
constexpr int TICK_MS = 16;

struct Peer {
    uint32_t id = 0;
    size_t place = 0;
};

using Socket = uWS::WebSocket<false, true, Peer>;

std::vector<Socket *> peers;
std::string flush_bytes;
double flush_interval_ms = 50;
double flushes_owed = 0;
uint64_t last_tick_ns = 0;
size_t next_place = 0;
uint32_t next_id = ID_FIRST;
uint64_t reads = 0;
uint64_t writes = 0;

uint64_t now_ns() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return uint64_t(now.tv_sec) * 1'000'000'000 + uint64_t(now.tv_nsec);
}

std::string little_endian(uint32_t value) {
    std::string bytes;
    for (int shift = 0; shift < 32; shift += 8) bytes.push_back(char(value >> shift));
    return bytes;
}

/// Writes a share of the flushes. A client gets one flush per tick at most.
void tick(us_timer_t *) {
    const uint64_t now = now_ns();
    const double elapsed_ms = double(now - last_tick_ns) / 1e6;
    last_tick_ns = now;
    if (peers.empty() || flush_bytes.empty()) return;
    flushes_owed += elapsed_ms * double(peers.size()) / flush_interval_ms;
    if (flushes_owed > double(peers.size())) flushes_owed = double(peers.size());
    for (; flushes_owed >= 1; flushes_owed -= 1) {
        next_place = (next_place + 1) % peers.size();
        us_socket_write(0, reinterpret_cast<us_socket_t *>(peers[next_place]), flush_bytes.data(),
                        int(flush_bytes.size()), 0);
        ++writes;
    }
}

void answer(Socket *socket, std::string_view message) {
    ++reads;
    if (message.size() < 6 || message[0] != MOVE) return;
    char ack[13];
    ack[0] = ACK;
    const uint32_t own = socket->getUserData()->id;
    for (int at = 0; at < 4; ++at) ack[1 + at] = char(own >> (8 * at));
    // Claims have 32-bit coordinates; the world needs 16.
    const bool has_claim = message.size() >= 14;
    for (int at = 0; at < 4; ++at) {
        ack[5 + at] = has_claim ? message[size_t(6 + at + (at >= 2 ? 2 : 0))] : DEFAULT_POSITION[size_t(at)];
        ack[9 + at] = message[size_t(2 + at)];
    }
    socket->send({ack, sizeof ack}, uWS::OpCode::BINARY);
    ++writes;
}

void opened(Socket *socket) {
    *socket->getUserData() = {next_id, peers.size()};
    peers.push_back(socket);
    const std::string state = std::string{"\x07\x01\0\0\0", 5} + little_endian(next_id++) +
                              std::string{DEFAULT_POSITION} + std::string{"\0\0\x80", 3};
    socket->send(state, uWS::OpCode::BINARY);
}

void closed(Socket *socket) {
    const size_t place = socket->getUserData()->place;
    peers[place] = peers.back();
    peers[place]->getUserData()->place = place;
    peers.pop_back();
}

std::string metrics() {
    return "{\"players\":" + std::to_string(peers.size()) + ",\"socket_reads_total\":" + std::to_string(reads) +
           ",\"socket_writes_total\":" + std::to_string(writes) + "}";
}

double number(std::string_view name, double otherwise, int count, char **values) {
    for (int at = 1; at + 1 < count; ++at) {
        if (name == values[at]) return std::atof(values[at + 1]);
    }
    return otherwise;
}

}  // namespace

int main(int count, char **values) {
    const char *port = std::getenv("PORT");
    flush_interval_ms = number("--flush-interval-ms", 50, count, values);
    for (int frames = int(number("--flush-bytes", 90, count, values)) / 9; frames > 0; --frames) {
        flush_bytes += FLUSH_FRAME;
    }
    uWS::App::WebSocketBehavior<Peer> behavior;
    behavior.open = [](Socket *socket) { opened(socket); };
    behavior.message = [](Socket *socket, std::string_view message, uWS::OpCode) { answer(socket, message); };
    behavior.close = [](Socket *socket, int, std::string_view) { closed(socket); };
    uWS::App app;
    app.ws<Peer>("/ws", std::move(behavior));
    app.get("/metrics", [](auto *response, auto *) {
        response->writeHeader("Content-Type", "application/json")->end(metrics(), true);
    });
    const int listen_port = int(number("--port", port ? std::atof(port) : 8108, count, values));
    app.listen("127.0.0.1", listen_port, [](us_listen_socket_t *socket) {
        if (!socket) {
            std::cerr << "the port is taken\n";
            std::exit(1);
        }
    });
    last_tick_ns = now_ns();
    us_timer_t *timer = us_create_timer(reinterpret_cast<us_loop_t *>(uWS::Loop::get()), 0, 0);
    us_timer_set(timer, tick, TICK_MS, TICK_MS);
    app.run();
}
