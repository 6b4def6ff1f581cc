package report

import (
	"regexp"
	"strings"
	"sync"

	"fettle/profiler"
)

// sentence is one that the profiler writes, with * where it puts a number or a name, and the same in Chinese with $1, $2.
type sentence struct{ en, zh string }

// sentences of seals, warnings, conditions and bars. A test provokes them and looks for what is left in English.
func sentences() []sentence {
	return []sentence{
		{"nothing ran; run it again", "没有运行；请重新运行"},
		{"the target was * while the samples were taken; let it cool down, check its fan and power supply, then run again", "取样时目标$1；请让它冷却，检查风扇和电源，然后重新运行"},
		{"throttled (*)", "被降频（$1）"}, {"throttled", "被降频"},
		{"the machine changed in every launch (*); stop other work on the target and run again", "每次启动中机器都有变化（$1）；请停止目标上的其他工作后重新运行"},
		{"the machine changed in every launch, also in * that were run again (*): inconclusive; stop other work on the target and run again", "每次启动中机器都有变化，重测的 $1 次也是如此（$2）：无法下结论；请停止目标上的其他工作后重新运行"},
		{"* launches were run again, because the machine changed during others", "有 $1 次启动是重测的，因为其他启动期间机器有变化"},
		{"* of * launches were left out (*); run again with nothing else on the target", "$2 次启动中有 $1 次未采用（$3）；请在目标空闲时重新运行"},
		{"the canary moved * within the launch", "基准核在启动内变动了 $1"},
		{"the canary was * slower than in the fastest launch", "基准核比最快的一次启动慢 $1"},
		{"no canary ran, so a change of the machine would not have been seen; update the agent", "没有运行基准核，看不出机器的变化；请更新代理"},
		{"the clock moved although the governor is *; look at temperature and power supply", "调频策略为 $1，但时钟仍有变动；请检查温度和电源"},
		{"the target does not say whether its clock is fixed; times may follow the clock", "目标没有说明时钟是否固定；时间可能随时钟变化"},
		{`the governor * lets the clock move; set it to "performance" for the run`, "调频策略 $1 允许时钟变动；运行时请设为 performance"},
		{"the load of the target is not known; make sure that nothing else runs on it", "目标的负载未知；请确认没有其他程序在运行"},
		{"other work was running: load * a core where below * counts as idle; stop it and run again", "有其他工作在运行：每核负载 $1，低于 $2 才算空闲；请停止后重新运行"},
		{"the target does not say whether it throttles; watch its temperature", "目标没有说明是否降频；请留意温度"},
		{"* of * launches never settled: the first inferences are slower than the last; take more runs", "$2 次启动中有 $1 次始终未稳定：开头的推理慢于结尾；请增加运行次数"},
		{"interrupted: * samples of * launches arrived, the end mark did not; run it again", "已中断：收到 $2 次启动的 $1 个样本，没有结束标记；请重新运行"},
		{"one launch only: how much a new start of the program moves the time is not in the intervals; take 3 launches or more", "只有一次启动：区间不含重新启动带来的变化；请做 3 次或更多次启动"},
		{"no instrumented inference: the layers have no times", "没有带测量的推理：各层没有时间"},
		{"every layer is shorter than one step of the clock: the layers have no times", "每一层都短于时钟的一步：各层没有时间"},
		{`the layers explain * % of the total: * % lies between them (bar "unattributed")`, "各层占总时间的 $1 %：层间为 $2 %（“未归属”条）"},
		{"recording the layers makes an inference * % longer; their shares may be off by as much", "记录各层使推理延长 $1 %；各层占比可能有同样大的偏差"},
		{"* layers are shorter than * steps of the clock (*): their times are rough", "$1 个层短于时钟的 $2 步（$3）：其时间不精确"},
		{"one launch a side: the interval comes from blocks of samples and is widened by * for what a new start may change; compare with 8 launches or more", "每边只有一次启动：区间来自样本分块，并为重新启动的影响放宽 $1；请用 8 次或更多次启动比较"},
		{"the runs were not interleaved: what the target changed between them counts as a difference", "两次运行没有交错：目标在其间的变化也会算作差异"},
		{"a run was disturbed: only a change of more than *, by which the canary moved, counts", "有一次运行受到干扰：只有超过基准核变动 $1 的变化才算数"},
		{"the machine was not the same in both runs: only a change of more than *, by which the canary differs, counts", "两次运行时机器状态不同：只有超过基准核差异 $1 的变化才算数"},
		{"* of * pairs were left out: the machine changed during one of them", "$2 对中有 $1 对未采用：其间机器有变化"},
		{"too few samples for an interval; take 20 runs or more", "样本太少，无法给出区间；请运行 20 次或更多次"},
		{"fewer than two pairs of launches were left undisturbed; run it again", "未受干扰的启动不足两对；请重新运行"},
		{"a run was disturbed, and no canary says by how much; run it again", "有一次运行受到干扰，且没有基准核说明程度；请重新运行"},
		{"run * has a red seal: *", "运行 $1 的封印为红：$2"},
		{"target: *", "目标：$1"}, {"system on chip: *", "芯片：$1"}, {"processor: *", "处理器：$1"}, {"kernel: *", "内核：$1"}, {"agent: *", "代理：$1"},
		{"runtime: *", "运行时：$1"}, {"threads: *", "线程：$1"}, {"governor: *", "调频策略：$1"}, {"clock: *", "时钟：$1"}, {"temperature: *", "温度：$1"},
		{"only in A", "仅在 A"}, {"only in B", "仅在 B"}, {"* became *", "$1变为 $2 步"}, {"* steps", "$1 步"}, {"1 step", "1 步"}, {"other kernel: *", "换内核：$1"}, {"on *", "在 $1 上"},
		{"* times the multiplications", "乘法次数为 $1 倍"}, {"time between the layers", "层与层之间的时间"}, {"* in A, * in B", "A 为 $1，B 为 $2"}, {"not known", "未知"},
	}
}

// pattern is a compiled sentence.
type pattern struct {
	re *regexp.Regexp
	zh string
}

var patterns = sync.OnceValue(func() []pattern {
	var out []pattern
	for _, s := range sentences() {
		out = append(out, pattern{regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(s.en), `\*`, "(.+?)") + "$"), s.zh})
	}
	return out
})

// toChinese translates a sentence of the profiler, and the sentences within it; one that it does not know stays as it is.
func toChinese(s string) string {
	for _, p := range patterns() {
		m := p.re.FindStringSubmatch(s)
		if m == nil {
			continue
		}
		out := p.zh
		for i := len(m) - 1; i > 0; i-- {
			out = strings.ReplaceAll(out, "$"+string(rune('0'+i)), toChinese(m[i]))
		}
		return out
	}
	return s
}

func each(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = toChinese(s)
	}
	return out
}

// chineseProfile is a copy whose sentences are Chinese.
func chineseProfile(p *profiler.Profile) *profiler.Profile {
	c := *p
	c.Warnings, c.Conditions.Why = each(p.Warnings), each(p.Conditions.Why)
	c.Launches = append([]profiler.LaunchResult(nil), p.Launches...)
	for i := range c.Launches {
		c.Launches[i].Why = toChinese(c.Launches[i].Why)
	}
	return &c
}

// chineseComparison is a copy whose sentences are Chinese.
func chineseComparison(x *profiler.Comparison) *profiler.Comparison {
	c := *x
	c.Conditions, c.Inconclusive = each(x.Conditions), toChinese(x.Inconclusive)
	c.Bars = append([]profiler.Bar(nil), x.Bars...)
	for i := range c.Bars {
		c.Bars[i].Why = strings.Join(each(strings.Split(c.Bars[i].Why, ", ")), ", ")
	}
	return &c
}
