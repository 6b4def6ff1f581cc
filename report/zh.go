package report

import "fettle/chart"

// chinese are the words of pages and charts. A test checks that every text of a page has one.
func chinese() chart.Words {
	return chart.Words{
		"Layers of %s": "%s 的各层", "Inferences of %s": "%s 的各次推理", "Profile of %s": "%s 的性能剖析", "From %s to %s": "从 %s 到 %s",
		"time of one inference": "单次推理时间", "inferences": "推理次数", "%d shorter layers": "其余 %d 个较短的层", "unattributed": "未归属",
		"no layer was measured": "没有测到任何一层", "interrupted: no times": "已中断：没有时间", "median %s": "中位数 %s", "n = %d in %d launches": "n = %d，共 %d 次启动",
		"%d threads": "%d 线程", "closure %s, observer cost %s": "闭合误差 %s，观测开销 %s", "floor %s": "下限 %s",
		"seal: green": "封印：绿", "seal: amber": "封印：黄", "seal: red": "封印：红", "seal: ": "封印：无",
		"small": "较小项", "others": "其他", "%d more": "另 %d 项", "The axis begins above zero: the zig-zag in A and B marks the cut.": "纵轴不从零开始：A 和 B 上的锯齿标出截断处。",
		"The moves add up to %s exactly.": "各项变化之和恰为 %s。", "no verdict: %s": "无结论：%s",
		"B is faster: %s of the time of A (95 %% interval: %s to %s)":                                                             "B 更快：时间比 A %s（95 %% 区间：%s 至 %s）",
		"B is slower: %s of the time of A (95 %% interval: %s to %s)":                                                             "B 更慢：时间比 A %s（95 %% 区间：%s 至 %s）",
		"no difference shown; %s or more would have been seen":                                                                    "未显示差异；%s 或更大的差异本可看出",
		"Written by Fettle. Times are medians; intervals are 95 %, over launches.":                                                "由 Fettle 生成。时间为中位数；区间为 95 %，以启动为单位。",
		"Written by Fettle. A change counts only where its 95 % interval clears the noise floor; layers after Holm's correction.": "由 Fettle 生成。仅当 95 % 区间越过噪声下限才算变化；各层经 Holm 校正。",
		"run": "运行", "target": "目标", "processor": "处理器", "runtime": "运行时", "threads": "线程", "precision": "精度", "p90": "p90", "p99": "p99", "needs n ≥ %d": "需要 n ≥ %d",
		"first inference": "首次推理", "load time": "加载时间", "outliers": "离群值", "%d of %d": "%[2]d 个中 %[1]d 个", "closure": "闭合误差", "observer cost": "观测开销",
		"weights": "权重", "arena": "激活内存", "peak memory": "内存峰值", "governor": "调频策略", "model": "模型", "Layers": "各层", "Launches": "各次启动", "What changed": "变化",
		"layer": "层", "layers": "层", "operator": "算子", "kernel": "内核", "type": "类型", "time": "时间", "share": "占比", "MAC": "乘加", "floor": "下限", "total": "合计",
		"launch": "启动", "used": "采用", "n": "n", "median": "中位数", "canary": "基准核", "yes": "是", "no": "否", "why": "原因", "verdict": "结论", "A": "A", "B": "B", "difference": "差",
		"noise floor": "噪声下限", "method": "方法", "could have seen": "可看出的最小差异", "paired launches": "成对启动", "launches": "各次启动", "blocks of one launch": "单次启动的分块",
		"%s over time": "%s 随时间的变化", "cold %s, warm %s, steady %s": "冷态 %s，热态 %s，稳态 %s", "since the start": "开始以来", "clock": "时钟", "temperature": "温度", "power": "功率",
		"n = %d launches": "n = %d 次启动", "n = %d launches, %d of them throttled": "n = %d 次启动，其中 %d 次被降频", "absent: %s": "缺失：%s", "it keeps its speed": "速度保持不变",
		"the board throttled: cool it, or count with the steady number":                         "板子被降频：请散热，或按稳态值计算",
		"its clock went down: see the governor and the power supply":                            "时钟下降：请检查调频策略和电源",
		"it became slower, and the target says neither clock nor temperature":                   "变慢了，而目标既不报告时钟也不报告温度",
		"it became slower while clock and throttling stayed: look for other work on the target": "变慢了，而时钟和降频状态未变：请查看目标上是否有其他负载",
		"Staircase of %s on %s": "%s 在 %s 上的延迟阶梯", "Staircases of %d layers on %s": "%d 个层在 %s 上的延迟阶梯", "output channels": "输出通道数", "time of the layer": "该层时间",
		"not known": "未知", "foretold": "推算", "measured": "实测", "%d channels now": "现有 %d 个通道", "last before a step": "台阶前最后", "foretold from the target's kernels, with the interval": "按目标的内核推算，带区间",
		"not foretold everywhere: %s": "并非处处都能推算：%s", "Roofline of %s on %s": "%s 在 %s 上的屋顶线", "products for each byte": "每字节的乘加数", "products a second": "每秒乘加数",
		"peak %s, memory %s, fastest layer without Winograd %s": "峰值 %s，内存 %s，不含 Winograd 的最快层 %s", "triangles: Winograd, which saves products": "三角：Winograd，节省乘法",
		"verdict faster": "更快", "verdict slower": "更慢", "verdict none": "未显示差异",
	}
}
