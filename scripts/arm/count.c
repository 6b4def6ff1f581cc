/* A plugin of qemu-user that counts what a guest executes: all instructions, how many more they were if LD1 and ST1 of three and four
 * registers were LDP and STP, and vector multiplies (arm64 only); of 32-bit Arm how many more they were if VLDM and VSTM moved 32 bytes. Arguments: out=FILE for the totals at the end; ranges=FILE with
 * lines "low high name" for counts of address ranges; events=FILE: every clock_gettime leaves a line "nanoseconds total pairs multiplies",
 * and getppid, which nothing else calls, begins the file and the counts of ranges anew the first time and writes the file and keeps these counts the
 * second.
 * Debian has no package with qemu-plugin.h, so the few calls used (plugin API 1, qemu 4.2 and later) are declared here. */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
extern void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, struct qemu_plugin_tb *));
extern void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, int, void *, uint64_t);
extern void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, void (*)(unsigned, void *), int, void *);
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
extern struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
extern uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *);
extern const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);
extern size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *);
extern void qemu_plugin_register_vcpu_syscall_cb(qemu_plugin_id_t,
	void (*)(qemu_plugin_id_t, unsigned, int64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t));
extern void qemu_plugin_register_atexit_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, void *), void *);
__attribute__((visibility("default"))) int qemu_plugin_version = 1;

struct range { uint64_t lo, hi, n, kept; char name[240]; }; /* kept: n at the second getppid */
static bool closed;
static struct range *ranges, *skips;
static size_t nranges, nskips;
static uint64_t total, pairs, mults;
static const char *out, *events;
static bool arm32;
static int open_since = -1; /* vcpu that called getppid */

struct event { uint64_t ns, total, pairs, mults; };
static struct event *log_;
static size_t nlog, room;

/* extra is how many more LDP or STP an LD1 or ST1 of several registers without interleaving needs. */
static unsigned extra(uint32_t w)
{
	if (arm32) { /* VLDM and VSTM of registers of 64 bits */
		bool many = (w & 0xfe000f00) == 0xec000b00 && (w & 0x01200000) != 0x01000000 && (w & 0xff) > 2;
		return many ? ((w & 0xff) / 2 + 3) / 4 - 1 : 0;
	}
	if ((w & 0xbf000000) != 0x0c000000) return 0; /* structures of several registers */
	switch (w >> 12 & 15) {
	case 2: case 6: return 1; /* four, three */
	}
	return 0;
}

/* multiplies says whether an instruction takes the vector multiply pipe. */
static bool multiplies(uint32_t w)
{
	if (arm32) return false;
	uint32_t three = w & 0x9f200400, op = w >> 11 & 31;
	bool q3 = three == 0x0e200400, u = w >> 29 & 1;
	if (q3 && op == 0x19) return true;                                /* FMLA, FMLS */
	if (q3 && op == 0x1b && u) return true;                          /* FMUL */
	if (q3 && (op == 0x12 || op == 0x13)) return true;               /* MLA, MLS, MUL */
	if (q3 && op == 0x16) return true;                               /* SQDMULH, SQRDMULH */
	if ((w & 0x9f200c00) == 0x0e200000) {                            /* three different */
		op = w >> 12 & 15;
		return op == 8 || op == 10 || op == 12 || op == 9 || op == 11 || op == 13;
	}
	if ((w & 0x9f208400) == 0x0e008400) return true;                 /* SDOT, UDOT, SMMLA, USDOT */
	if ((w & 0x9f000400) == 0x0f000000) {                            /* by a lane */
		op = w >> 12 & 15;
		return op < 12 || op == 13 || op == 14;
	}
	return false;
}

/* block is what a translated block counts while only one thread is to be counted: runtimes have others, which run the more the longer it takes. */
struct part { struct range *at; uint64_t n; };
struct block { uint64_t n, pairs, mults; size_t nparts; struct part parts[]; };

static void execute(unsigned cpu, void *p)
{
	const struct block *b = p;
	if (open_since >= 0 && (int)cpu != open_since) return;
	total += b->n;
	pairs += b->pairs;
	mults += b->mults;
	for (size_t i = 0; i < b->nparts; i++) b->parts[i].at->n += b->parts[i].n;
}

static int by_lo(const void *a, const void *b)
{
	const struct range *x = a, *y = b;
	return x->lo < y->lo ? -1 : x->lo > y->lo;
}

static size_t read_ranges(const char *file, struct range **l)
{
	FILE *f = fopen(file, "r");
	struct range x = {0};
	size_t n = 0;
	while (f && fscanf(f, "%" SCNx64 " %" SCNx64 " %239s", &x.lo, &x.hi, x.name) == 3) {
		*l = realloc(*l, (n + 1) * sizeof x);
		(*l)[n++] = x;
	}
	if (f) fclose(f);
	if (n) qsort(*l, n, sizeof x, by_lo);
	return n;
}

static struct range *find(struct range *l, size_t n, uint64_t at)
{
	size_t lo = 0, hi = n;
	while (lo < hi) {
		size_t m = (lo + hi) / 2;
		if (l[m].hi <= at) lo = m + 1; else hi = m;
	}
	return lo < n && at >= l[lo].lo ? &l[lo] : NULL;
}

static void trans(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	(void)id;
	size_t n = qemu_plugin_tb_n_insns(tb);
	struct block *b = calloc(1, sizeof *b + n * sizeof *b->parts);
	for (size_t i = 0; i < n; i++) {
		struct qemu_plugin_insn *in = qemu_plugin_tb_get_insn(tb, i);
		uint64_t addr = qemu_plugin_insn_vaddr(in);
		uint32_t w = 0;
		if (find(skips, nskips, addr)) continue;
		memcpy(&w, qemu_plugin_insn_data(in), qemu_plugin_insn_size(in) < 4 ? qemu_plugin_insn_size(in) : 4);
		b->n++;
		b->pairs += extra(w);
		b->mults += multiplies(w);
		struct range *r = find(ranges, nranges, addr);
		if (r && (!b->nparts || b->parts[b->nparts - 1].at != r)) b->parts[b->nparts++].at = r;
		if (r) b->parts[b->nparts - 1].n++;
	}
	if (b->n) qemu_plugin_register_vcpu_tb_exec_cb(tb, execute, 0, b);
	else free(b);
}

static void syscall_(qemu_plugin_id_t id, unsigned cpu, int64_t num, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f, uint64_t g, uint64_t h)
{
	(void)id; (void)a; (void)b; (void)c; (void)d; (void)e; (void)f; (void)g; (void)h;
	if (num == (arm32 ? 64 : 173)) { /* getppid */
		if (open_since < 0) {
			open_since = (int)cpu;
			nlog = 0;
			for (size_t k = 0; k < nranges; k++) ranges[k].n = 0;
			return;
		}
		for (size_t k = 0; k < nranges; k++) ranges[k].kept = ranges[k].n;
		closed = true;
		FILE *o = fopen(events, "w");
		for (size_t i = 0; o && i < nlog; i++)
			fprintf(o, "%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", log_[i].ns, log_[i].total, log_[i].pairs, log_[i].mults);
		if (o) fclose(o);
		open_since = -1;
		return;
	}
	if ((arm32 ? num != 263 && num != 403 : num != 113) || (int)cpu != open_since) return; /* clock_gettime */
	if (nlog == room) log_ = realloc(log_, (room = room ? 2 * room : 4096) * sizeof *log_);
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	log_[nlog++] = (struct event){(uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec, total, pairs, mults};
}

static void fini(qemu_plugin_id_t id, void *p)
{
	(void)id; (void)p;
	FILE *f = fopen(out, "w");
	if (!f) { perror(out); return; }
	for (size_t k = 0; k < nranges; k++) {
		if (closed) ranges[k].n = ranges[k].kept;
		if (ranges[k].n) fprintf(f, "%s %" PRIu64 "\n", ranges[k].name, ranges[k].n);
	}
	fprintf(f, "pairs %" PRIu64 "\nmultiplies %" PRIu64 "\ntotal %" PRIu64 "\n", pairs, mults, total);
	fclose(f);
}

__attribute__((visibility("default")))
int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv)
{
	arm32 = !strcmp(*(const char *const *)info, "arm"); /* the first field is the target's name */
	for (int i = 0; i < argc; i++) {
		if (!strncmp(argv[i], "out=", 4)) out = strdup(argv[i] + 4);
		else if (!strncmp(argv[i], "events=", 7)) events = strdup(argv[i] + 7);
		else if (!strncmp(argv[i], "ranges=", 7)) nranges = read_ranges(argv[i] + 7, &ranges);
		else if (!strncmp(argv[i], "skip=", 5)) nskips = read_ranges(argv[i] + 5, &skips);
	}
	if (!out) return -1;
	qemu_plugin_register_vcpu_tb_trans_cb(id, trans);
	if (events) qemu_plugin_register_vcpu_syscall_cb(id, syscall_);
	qemu_plugin_register_atexit_cb(id, fini, NULL);
	return 0;
}
