/* An MQTT 3.1.1 load generator on one thread: publishes QoS 1 within a window, counts PUBACKs and deliveries.
 *
 * generator PORT CLIENTS WARM_UP MESSAGES WINDOW BYTES SERVER_PID [CA_FILE]
 *
 * CLIENTS is a file with a line per client, its fields separated by tabs: client id, user name, password,
 * topic to publish to, filter to subscribe to; fields may be empty. Each publisher has WINDOW messages under
 * way. With a subscriber a message is under way until it is delivered, without one until its PUBACK.
 * WARM_UP messages go first and are not counted. With CA_FILE, and when built with -DWITH_TLS, it speaks TLS.
 * One line of JSON: messages, seconds, the CPU seconds of the generator and of SERVER_PID meanwhile.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#ifdef WITH_TLS
#include <openssl/ssl.h>
#endif

enum { FIELDS = 5, IN_BYTES = 65536, EVENTS = 256, STALL_S = 20 };
/* Servers accept faster than this many at a time can handshake. */
enum { CONNECTING_MAX = 64 };

typedef enum { CONNECTING, HANDSHAKE, OPENING, SUBSCRIBING, UP } State;

typedef struct {
  char *id, *user, *password, *topic, *filter;
  int fd, waits_for_write;
  State state;
  uint16_t packet_id;
  long to_send, sent, acked;
  uint8_t *in, *out;
  size_t in_used, in_size, out_start, out_used, out_size;
#ifdef WITH_TLS
  SSL *tls;
#endif
} Client;

static int poller, port, subscribers, publishers, up;
static long delivered, total_sent, total_acked;
static uint8_t *payload;
static size_t payload_bytes;
#ifdef WITH_TLS
static SSL_CTX *tls_context;
#endif

static void fail(const char *what, const char *detail) {
  fprintf(stderr, "generator: %s %s\n", what, detail);
  exit(1);
}

static double clock_s(clockid_t clock) {
  struct timespec t;
  if (clock_gettime(clock, &t)) return 0;
  return t.tv_sec + t.tv_nsec * 1e-9;
}

static void *grown(void *block, size_t *size, size_t needed) {
  if (needed <= *size) return block;
  *size = needed * 2;
  if (!(block = realloc(block, *size))) fail("out of memory", "");
  return block;
}

static void append(Client *c, const void *bytes, size_t count) {
  c->out = grown(c->out, &c->out_size, c->out_used + count);
  memcpy(c->out + c->out_used, bytes, count);
  c->out_used += count;
}

static void append_text(Client *c, const char *text) {
  size_t length = strlen(text);
  uint8_t prefix[2] = {length >> 8, length};
  append(c, prefix, 2);
  append(c, text, length);
}

static void append_head(Client *c, uint8_t first, size_t length) {
  uint8_t head[5] = {first};
  size_t used = 1;
  do {
    head[used] = length & 127;
    length >>= 7;
    if (length) head[used] |= 128;
    used++;
  } while (length);
  append(c, head, used);
}

static void watch(Client *c, int for_write) {
  if (c->waits_for_write == for_write) return;
  c->waits_for_write = for_write;
  struct epoll_event event = {.events = EPOLLIN | (for_write ? EPOLLOUT : 0), .data.ptr = c};
  epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &event);
}

/* Both: bytes moved, 0 for "not now"; the program ends when a connection does. */
static size_t give(Client *c, const uint8_t *bytes, size_t count) {
#ifdef WITH_TLS
  if (c->tls) {
    int n = SSL_write(c->tls, bytes, (int)count);
    if (n > 0) return n;
    int why = SSL_get_error(c->tls, n);
    if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE) fail("lost the connection of", c->id);
    return 0;
  }
#endif
  ssize_t n = send(c->fd, bytes, count, MSG_NOSIGNAL);
  if (n < 0 && errno != EAGAIN) fail("lost the connection of", c->id);
  return n < 0 ? 0 : n;
}

static size_t take(Client *c, uint8_t *bytes, size_t count) {
#ifdef WITH_TLS
  if (c->tls) {
    int n = SSL_read(c->tls, bytes, (int)count);
    if (n > 0) return n;
    int why = SSL_get_error(c->tls, n);
    if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE) fail("lost the connection of", c->id);
    return 0;
  }
#endif
  ssize_t n = recv(c->fd, bytes, count, 0);
  if (n == 0 || (n < 0 && errno != EAGAIN)) fail("lost the connection of", c->id);
  return n < 0 ? 0 : n;
}

static void flush(Client *c) {
  while (c->out_start < c->out_used) {
    size_t n = give(c, c->out + c->out_start, c->out_used - c->out_start);
    if (!n) {
      watch(c, 1);
      return;
    }
    c->out_start += n;
  }
  c->out_start = c->out_used = 0;
  watch(c, 0);
}

static void open_session(Client *c) {
  int named = *c->user != 0, secret = *c->password != 0;
  size_t length = 10 + 2 + strlen(c->id) + (named ? 2 + strlen(c->user) : 0);
  append_head(c, 0x10, length + (secret ? 2 + strlen(c->password) : 0));
  uint8_t start[10] = {0, 4, 'M', 'Q', 'T', 'T', 4, 2 | named << 7 | secret << 6, 0, 0};
  append(c, start, 10);
  append_text(c, c->id);
  if (named) append_text(c, c->user);
  if (secret) append_text(c, c->password);
  c->state = OPENING;
  flush(c);
}

static void subscribe(Client *c) {
  append_head(c, 0x82, 2 + 2 + strlen(c->filter) + 1);
  append(c, "\0\1", 2);
  append_text(c, c->filter);
  append(c, "\1", 1);
  c->state = SUBSCRIBING;
  flush(c);
}

static void publish(Client *c) {
  append_head(c, 0x32, 2 + strlen(c->topic) + 2 + payload_bytes);
  append_text(c, c->topic);
  if (!++c->packet_id) c->packet_id = 1;
  uint8_t id[2] = {c->packet_id >> 8, c->packet_id};
  append(c, id, 2);
  append(c, payload, payload_bytes);
  c->sent++;
  total_sent++;
}

static void is_up(Client *c) {
  c->state = UP;
  up++;
}

static void packet(Client *c, uint8_t first, const uint8_t *body, size_t length) {
  switch (first >> 4) {
    case 2: /* CONNACK */
      if (length < 2 || body[1]) fail("refused:", c->id);
      if (*c->filter) subscribe(c);
      else is_up(c);
      break;
    case 9: /* SUBACK */
      if (length < 3 || body[2] == 0x80) fail("subscription refused:", c->id);
      is_up(c);
      break;
    case 4: /* PUBACK */
      c->acked++;
      total_acked++;
      break;
    case 3: { /* PUBLISH */
      size_t topic = body[0] << 8 | body[1];
      if (first >> 1 & 3) {
        uint8_t ack[4] = {0x40, 2, body[2 + topic], body[3 + topic]};
        append(c, ack, 4);
      }
      delivered++;
      break;
    }
  }
}

static void packets(Client *c) {
  size_t start = 0;
  while (c->in_used - start >= 2) {
    size_t length = 0, at = start + 1, shift = 0;
    int whole = 0;
    while (at < c->in_used && shift < 28 && !whole) {
      length |= (size_t)(c->in[at] & 127) << shift;
      whole = !(c->in[at++] & 128);
      shift += 7;
    }
    if (!whole || c->in_used - at < length) break;
    packet(c, c->in[start], c->in + at, length);
    start = at + length;
  }
  memmove(c->in, c->in + start, c->in_used - start);
  c->in_used -= start;
  if (c->out_used > c->out_start) flush(c);
}

static void readable(Client *c) {
  for (;;) {
    c->in = grown(c->in, &c->in_size, c->in_used + (subscribers ? IN_BYTES : 4096));
    size_t room = c->in_size - c->in_used, n = take(c, c->in + c->in_used, room);
    if (!n) return;
    c->in_used += n;
    packets(c);
    if (n < room) return;
  }
}

static void start(Client *c) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int one = 1;
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (c->fd < 0) fail("no socket:", strerror(errno));
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (connect(c->fd, (void *)&address, sizeof address) && errno != EINPROGRESS) fail("cannot connect", c->id);
  c->waits_for_write = 1;
  struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = c};
  epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &event);
}

static void shake_hands(Client *c) {
#ifdef WITH_TLS
  if (tls_context) {
    int n = SSL_do_handshake(c->tls);
    if (n != 1) {
      int why = SSL_get_error(c->tls, n);
      if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE) fail("TLS fails for", c->id);
      watch(c, why == SSL_ERROR_WANT_WRITE);
      return;
    }
  }
#endif
  open_session(c);
}

static void connected(Client *c) {
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
  if (error) fail("cannot connect:", strerror(error));
#ifdef WITH_TLS
  if (tls_context) {
    c->tls = SSL_new(tls_context);
    SSL_set_fd(c->tls, c->fd);
    SSL_set_connect_state(c->tls);
    SSL_set_tlsext_host_name(c->tls, "localhost");
  }
#endif
  c->state = HANDSHAKE;
  shake_hands(c);
}

static void turn(int wait_ms) {
  struct epoll_event events[EVENTS];
  int count = epoll_wait(poller, events, EVENTS, wait_ms);
  for (int i = 0; i < count; i++) {
    Client *c = events[i].data.ptr;
    if (c->state == CONNECTING) {
      if (events[i].events & (EPOLLOUT | EPOLLERR)) connected(c);
    } else if (c->state == HANDSHAKE) {
      shake_hands(c);
    } else {
      if (events[i].events & EPOLLOUT) flush(c);
      if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) readable(c);
    }
  }
}

static void send_messages(Client *clients, int count, long messages, long window) {
  total_sent = total_acked = delivered = 0;
  for (int i = 0, publisher = 0; i < count; i++) {
    clients[i].sent = clients[i].acked = clients[i].to_send = 0;
    if (!*clients[i].topic) continue;
    clients[i].to_send = messages / publishers + (publisher < messages % publishers);
    publisher++;
  }
  double moved = clock_s(CLOCK_MONOTONIC);
  long seen = -1;
  while (total_acked < messages || (subscribers && delivered < messages)) {
    for (int i = 0; i < count; i++) {
      Client *c = &clients[i];
      long before = c->sent;
      while (c->sent < c->to_send && c->sent - c->acked < window &&
             (!subscribers || total_sent - delivered < window * publishers))
        publish(c);
      if (c->sent > before) flush(c);
    }
    turn(100);
    if (total_acked + delivered != seen) {
      seen = total_acked + delivered;
      moved = clock_s(CLOCK_MONOTONIC);
    } else if (clock_s(CLOCK_MONOTONIC) - moved > STALL_S) {
      fprintf(stderr, "sent %ld acked %ld delivered %ld\n", total_sent, total_acked, delivered);
      fail("the server has stopped answering", "");
    }
  }
}

static Client *read_clients(const char *path, int *count) {
  FILE *file = fopen(path, "r");
  if (!file) fail("cannot read", path);
  Client *clients = NULL;
  size_t size = 0, line_size = 0;
  char *line = NULL;
  for (*count = 0; getline(&line, &line_size, file) > 0; ++*count) {
    clients = grown(clients, &size, (*count + 1) * sizeof *clients);
    Client *c = memset(&clients[*count], 0, sizeof *c);
    char *rest = strdup(line), **fields[FIELDS] = {&c->id, &c->user, &c->password, &c->topic, &c->filter};
    rest[strcspn(rest, "\n")] = 0;
    for (int i = 0; i < FIELDS; i++) *fields[i] = rest ? strsep(&rest, "\t") : "";
    publishers += *c->topic != 0;
    subscribers += *c->filter != 0;
  }
  free(line);
  fclose(file);
  return clients;
}

static void use_tls(const char *ca_file) {
#ifdef WITH_TLS
  tls_context = SSL_CTX_new(TLS_client_method());
  if (!SSL_CTX_load_verify_locations(tls_context, ca_file, NULL)) fail("no certificates in", ca_file);
  SSL_CTX_set_verify(tls_context, SSL_VERIFY_PEER, NULL);
  SSL_CTX_set_mode(tls_context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
#else
  fail("built without TLS, asked to trust", ca_file);
#endif
}

int main(int count, char **arguments) {
  if (count < 8) fail("usage:", "PORT CLIENTS WARM_UP MESSAGES WINDOW BYTES SERVER_PID [CA_FILE]");
  int clients_count;
  Client *clients = read_clients(arguments[2], &clients_count);
  long warm_up = atol(arguments[3]), messages = atol(arguments[4]), window = atol(arguments[5]);
  clockid_t server;
  if (clock_getcpuclockid(atoi(arguments[7]), &server)) fail("no such process:", arguments[7]);
  port = atoi(arguments[1]);
  payload_bytes = atol(arguments[6]);
  if (!(payload = malloc(payload_bytes + 1))) fail("out of memory", "");
  for (size_t i = 0; i < payload_bytes; i++) payload[i] = rand();
  if (count > 8) use_tls(arguments[8]);
  poller = epoll_create1(EPOLL_CLOEXEC);
  /* Subscribers first, or the first messages would find nobody. */
  for (int subscribes = 1, started = 0; subscribes >= 0; subscribes--)
    for (int i = 0; i < clients_count; i++) {
      if ((*clients[i].filter != 0) != subscribes) continue;
      start(&clients[i]);
      started++;
      while (started - up >= (subscribes ? 1 : CONNECTING_MAX)) turn(100);
    }
  while (up < clients_count) turn(100);
  if (warm_up) send_messages(clients, clients_count, warm_up, window);
  double cpu = clock_s(CLOCK_PROCESS_CPUTIME_ID), served = clock_s(server), began = clock_s(CLOCK_MONOTONIC);
  send_messages(clients, clients_count, messages, window);
  double seconds = clock_s(CLOCK_MONOTONIC) - began;
  printf("{\"messages\": %ld, \"seconds\": %.6f, \"cpu_seconds\": %.6f, \"server_cpu_seconds\": %.6f}\n", messages,
         seconds, clock_s(CLOCK_PROCESS_CPUTIME_ID) - cpu, clock_s(server) - served);
  return 0;
}
