/* The floor for the relay's benchmark: the least a fan-out can do.
 *
 *   fanout LISTEN_PORT UPSTREAM_PORT
 *
 * One epoll loop on 127.0.0.1. Reads one upstream into a chunk of 64 KB and gives each full chunk to every client with
 * one send(). No ring, no alignment, no joins in mid-stream, no slow clients: what does not fit is lost. Linux only. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CHUNK = 65536, MAX_CLIENTS = 4096 };

static const char ANSWER[] = "HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\nConnection: close\r\n\r\n";
static const char REQUEST[] = "GET /stream HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

static struct sockaddr_in loopback(int port) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    return at;
}

static void must(int result, const char *what) {
    if (result < 0) {
        perror(what);
        exit(1);
    }
}

static void watch(int poller, int fd) {
    struct epoll_event wanted = {.events = EPOLLIN, .data = {.fd = fd}};
    must(epoll_ctl(poller, EPOLL_CTL_ADD, fd, &wanted), "epoll_ctl");
}

int main(int argc, char **argv) {
    static char chunk[CHUNK], request[4096];
    static int clients[MAX_CLIENTS];
    int filled = 0, count = 0, yes = 1;
    if (argc != 3)
        return 2;
    int poller = epoll_create1(0), listener = socket(AF_INET, SOCK_STREAM, 0), upstream = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in here = loopback(atoi(argv[1])), there = loopback(atoi(argv[2]));
    must(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes), "setsockopt");
    must(bind(listener, (struct sockaddr *)&here, sizeof here), "bind");
    must(listen(listener, 1024), "listen");
    must(connect(upstream, (struct sockaddr *)&there, sizeof there), "connect");
    must(send(upstream, REQUEST, sizeof REQUEST - 1, 0), "send");
    watch(poller, listener);
    watch(poller, upstream);
    for (;;) {
        struct epoll_event news[64];
        int n = epoll_wait(poller, news, 64, -1);
        for (int i = 0; i < n; i++) {
            int fd = news[i].data.fd;
            if (fd == listener) {
                int client = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
                if (client >= 0)
                    watch(poller, client);
            } else if (fd == upstream) {
                ssize_t got = recv(upstream, chunk + filled, CHUNK - filled, 0);
                if (got <= 0)
                    return 0;
                filled += got;
                if (filled < CHUNK)
                    continue;
                filled = 0;
                for (int k = 0; k < count; k++)
                    if (send(clients[k], chunk, CHUNK, MSG_NOSIGNAL) < 0 && errno != EAGAIN) {
                        close(clients[k]);
                        clients[k--] = clients[--count];
                    }
            } else { /* a request: answered whole or not at all */
                must(epoll_ctl(poller, EPOLL_CTL_DEL, fd, NULL), "epoll_ctl");
                if (recv(fd, request, sizeof request, 0) > 0 && count < MAX_CLIENTS
                    && send(fd, ANSWER, sizeof ANSWER - 1, MSG_NOSIGNAL) > 0)
                    clients[count++] = fd;
                else
                    close(fd);
            }
        }
    }
}
