/* Runs a model in TensorFlow Lite with its XNNPACK delegate, through the library's C interface.
 *   peer MODEL THREADS                serves scripts/bench.sh as scripts/ort/bench.js does: for each number on the input so many runs, one
 *                                     line of times in ms, of the processor for one thread, else wall; the log gets load time and memory
 *   peer MODEL THREADS -run IN OUT    reads the bytes of all inputs from IN, runs once, writes those of all outputs to OUT
 *   peer MODEL THREADS -count         runs between two calls of getppid, for scripts/arm/count.c
 * PLAIN=1 in the environment leaves the delegate out. The package has headers, but they are of another place; the few calls are declared here. */
#define _GNU_SOURCE
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

typedef struct TfLiteModel TfLiteModel;
typedef struct TfLiteInterpreter TfLiteInterpreter;
typedef struct TfLiteInterpreterOptions TfLiteInterpreterOptions;
typedef struct TfLiteTensor TfLiteTensor;
typedef struct TfLiteDelegate TfLiteDelegate;
extern const char *TfLiteVersion(void);
extern TfLiteModel *TfLiteModelCreateFromFile(const char *);
extern TfLiteInterpreterOptions *TfLiteInterpreterOptionsCreate(void);
extern void TfLiteInterpreterOptionsSetNumThreads(TfLiteInterpreterOptions *, int32_t);
extern void TfLiteInterpreterOptionsAddDelegate(TfLiteInterpreterOptions *, TfLiteDelegate *);
extern TfLiteInterpreter *TfLiteInterpreterCreate(const TfLiteModel *, const TfLiteInterpreterOptions *);
extern int TfLiteInterpreterAllocateTensors(TfLiteInterpreter *);
extern int TfLiteInterpreterInvoke(TfLiteInterpreter *);
extern int32_t TfLiteInterpreterGetInputTensorCount(const TfLiteInterpreter *);
extern int32_t TfLiteInterpreterGetOutputTensorCount(const TfLiteInterpreter *);
extern TfLiteTensor *TfLiteInterpreterGetInputTensor(const TfLiteInterpreter *, int32_t);
extern const TfLiteTensor *TfLiteInterpreterGetOutputTensor(const TfLiteInterpreter *, int32_t);
extern int TfLiteTensorType(const TfLiteTensor *);
extern void *TfLiteTensorData(const TfLiteTensor *);
extern size_t TfLiteTensorByteSize(const TfLiteTensor *);

/* The delegate's options grow with its releases; the first two fields have not moved. Flags 1 and 2 let it take signed and unsigned bytes. */
typedef struct { int32_t threads; uint32_t flags; char later[256]; } XNNPackOptions;
extern TfLiteDelegate *TfLiteXNNPackDelegateCreate(const XNNPackOptions *);

static void die(const char *what) { fprintf(stderr, "%s\n", what); exit(1); }

static double now(clockid_t c)
{
	struct timespec t;
	clock_gettime(c, &t);
	return t.tv_sec * 1e3 + t.tv_nsec * 1e-6;
}

static double rss(void)
{
	long pages = 0, skip;
	FILE *f = fopen("/proc/self/statm", "r");
	if (f) {
		if (fscanf(f, "%ld %ld", &skip, &pages) != 2) pages = 0;
		fclose(f);
	}
	return pages * (double)sysconf(_SC_PAGESIZE) / 1e6;
}

static void run(TfLiteInterpreter *i)
{
	if (TfLiteInterpreterInvoke(i)) die("the run failed");
}

/* feed writes numbers from 0 to 1, small integers where the input holds integers. */
static void feed(TfLiteInterpreter *it)
{
	uint32_t s = 7;
	for (int i = 0; i < TfLiteInterpreterGetInputTensorCount(it); i++) {
		TfLiteTensor *t = TfLiteInterpreterGetInputTensor(it, i);
		size_t n = TfLiteTensorByteSize(t);
		char *p = TfLiteTensorData(t);
		int type = TfLiteTensorType(t);
		for (size_t k = 0; k < n; k++) {
			s = s * 1664525u + 1013904223u;
			if (type == 1 && k % 4 == 0) ((float *)p)[k / 4] = (s >> 8) / 16777216.0f;
			else if (type == 2 && k % 4 == 0) ((int32_t *)p)[k / 4] = s >> 8 & 511;
			else if (type == 4 && k % 8 == 0) ((int64_t *)p)[k / 8] = s >> 8 & 511;
			else if (type == 3 || type == 9) p[k] = (char)(s >> 24);
		}
	}
}

static void files(TfLiteInterpreter *it, const char *in, const char *out)
{
	FILE *f = fopen(in, "rb");
	if (!f) die("cannot read the inputs");
	for (int i = 0; i < TfLiteInterpreterGetInputTensorCount(it); i++) {
		TfLiteTensor *t = TfLiteInterpreterGetInputTensor(it, i);
		if (fread(TfLiteTensorData(t), 1, TfLiteTensorByteSize(t), f) != TfLiteTensorByteSize(t)) die("the inputs are too short");
	}
	if (fgetc(f) != EOF) die("the inputs are too long");
	fclose(f);
	run(it);
	f = fopen(out, "wb");
	if (!f) die("cannot write the outputs");
	for (int i = 0; i < TfLiteInterpreterGetOutputTensorCount(it); i++) {
		const TfLiteTensor *t = TfLiteInterpreterGetOutputTensor(it, i);
		if (fwrite(TfLiteTensorData(t), 1, TfLiteTensorByteSize(t), f) != TfLiteTensorByteSize(t)) die("cannot write the outputs");
	}
	if (fclose(f)) die("cannot write the outputs");
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "-version")) return puts(TfLiteVersion()) < 0;
	if (argc < 3) die("usage: peer MODEL THREADS [-run IN OUT | -count]");
	int threads = atoi(argv[2]);
	double before = rss(), begin = now(CLOCK_MONOTONIC);
	TfLiteModel *m = TfLiteModelCreateFromFile(argv[1]);
	if (!m) die("the model cannot be read");
	TfLiteInterpreterOptions *o = TfLiteInterpreterOptionsCreate();
	TfLiteInterpreterOptionsSetNumThreads(o, threads);
	if (!getenv("PLAIN")) {
		XNNPackOptions x = {threads, 3, {0}};
		TfLiteDelegate *d = TfLiteXNNPackDelegateCreate(&x);
		if (!d) die("there is no XNNPACK delegate");
		TfLiteInterpreterOptionsAddDelegate(o, d);
	}
	TfLiteInterpreter *it = TfLiteInterpreterCreate(m, o);
	if (!it || TfLiteInterpreterAllocateTensors(it)) die("the model is refused");
	double load = now(CLOCK_MONOTONIC) - begin;
	if (argc == 6 && !strcmp(argv[3], "-run")) {
		files(it, argv[4], argv[5]);
		return 0;
	}
	feed(it);
	if (argc == 4 && !strcmp(argv[3], "-count")) {
		struct timespec t;
		for (int i = 0; i < 2; i++) run(it);
		syscall(SYS_getppid);
		syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &t);
		run(it);
		syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &t);
		syscall(SYS_getppid);
		return 0;
	}
	for (int i = 0; i < 3; i++) run(it);
	fprintf(stderr, "load %.1f rss %.1f\n", load, rss() - before);
	char line[64];
	clockid_t clock = threads == 1 ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC;
	while (fgets(line, sizeof line, stdin)) {
		for (int n = atoi(line); n > 0; n--) {
			begin = now(clock);
			run(it);
			printf("%.4f ", now(clock) - begin);
		}
		printf("\n");
		fflush(stdout);
	}
	return 0;
}
