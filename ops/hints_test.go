package ops

import (
	"fmt"
	"strconv"
	"strings"

	"fettle/model"
)

// hints are nodes that are right, for operators that random choices hardly ever get right: inputs divided by |, then
// attributes after semicolons. An input is its dimensions, a letter being one size in the whole node and "." a scalar, or
// dtype{values}:dimensions, or nothing. What is made of a hint is then changed in a place or two, or not.
var hints = map[string][]string{
	"Conv":                  {"N,C,5,5|M,C,3,3|M", "N,C,6|M,C,2|M;strides=2;pads=1,1", "N,4,4,4|6,2,3,3;group=2", "N,C,4,4|M,C,2,2;auto_pad=SAME_UPPER", "N,C,7|M,C,2;dilations=3"},
	"fettle:Conv":           {"N,C,5,5|M,C,3,3|M|N,M,3,3;activation=clip;min=0;max=6", "N,C,5,5|M,C,3,3||N,M,3,3", "N,C,6|M,C,2|M;activation=silu"},
	"ConvTranspose":         {"N,C,3,3|C,M,2,2|M;strides=2,2;output_padding=1,1", "N,4,5|4,2,3;group=2;pads=1,1", "N,C,3|C,M,3;strides=2;output_shape=6"},
	"ConvInteger":           {"N,C,5,5|M,C,3,3|.|M", "N,C,6|M,C,2"},
	"QLinearConv":           {"N,C,5,5|.|.|M,C,3,3|M|M|.|.|M", "N,C,4|.|.|M,C,3|.|.|.|."},
	"MaxPool":               {"N,C,5,5;kernel_shape=2,2;strides=2,2;ceil_mode=1", "N,C,5,5;kernel_shape=3,3;pads=1,1,1,1;dilations=2,2", "N,C,6;kernel_shape=3;auto_pad=SAME_LOWER"},
	"AveragePool":           {"N,C,5,5;kernel_shape=2,2;strides=2,2;ceil_mode=1", "N,C,5,5;kernel_shape=3,3;pads=1,1,1,1;count_include_pad=1"},
	"LpPool":                {"N,C,5,5;kernel_shape=2,2;strides=2,2", "N,C,6;kernel_shape=3;p=1"},
	"MaxUnpool":             {"1,1,2,2|int64{0,3,8,15}:1,1,2,2;kernel_shape=2,2;strides=2,2", "1,1,2,2|int64{0,3,8,15}:1,1,2,2|int64{1,1,5,5}:4;kernel_shape=2,2;strides=2,2"},
	"MaxRoiPool":            {"2,C,5,5|float32{1,0,0,3,3}:1,5;pooled_shape=2,2"},
	"RoiAlign":              {"2,C,5,5|float32{0,0,3,3}:1,4|int64{1}:1;output_height=2;output_width=2"},
	"BatchNormalization":    {"N,C,4|C|C|C|C", "N,C|C|C|C|C;training_mode=1", "N|1|1|1|1"},
	"InstanceNormalization": {"N,C,4|C|C"},
	"GroupNormalization":    {"N,4,3|2|2;num_groups=2", "N,4,3|4|4;num_groups=2"},
	"LayerNormalization":    {"N,C,4|4|4", "N,C,4|C,4|C,4;axis=1"},
	"RMSNormalization":      {"N,C,4|4", "N,C,4|C,1;axis=1"},
	"LRN":                   {"N,C,4,3;size=3", "N,8,2,2;size=5;alpha=0.5;beta=1;bias=2", "N,C,4;size=3"},
	"Gemm":                  {"M,K|K,N|N", "K,M|N,K|M,1;transA=1;transB=1;alpha=0.5"},
	"fettle:Gemm":           {"M,K|K,N|N;activation=relu"},
	"fettle:MatMul":         {"B,M,K|K,N;activation=leakyrelu;alpha=0.2"},
	"MatMulInteger":         {"M,K|K,N|.|.", "B,M,K|K,N|.|N"},
	"QLinearMatMul":         {"M,K|.|.|K,N|.|.|.|.", "M,K|M|M|K,N|N|N|.|."},
	"Gather":                {"4,3|int64{0,-1}:2", "4,3|int64{0,2,1,1}:2,2;axis=1"},
	"GatherElements":        {"4,4|int64{0,1,2,3}:2,2", "4,4|int64{0,1,-1,3}:2,2;axis=1"},
	"GatherND":              {"2,3,4|int64{0,1,1,2}:2,2", "2,3,4|int64{1,2}:2,1;batch_dims=1"},
	"Scatter":               {"4,4|int64{0,1,2,3}:2,2|2,2;axis=1"},
	"ScatterElements":       {"4,4|int64{0,1,2,3}:2,2|2,2;axis=1", "4,4|int64{0,1,2,0}:2,2|2,2;reduction=add"},
	"ScatterND":             {"4,4|int64{0,2}:2,1|2,4", "4,4|int64{0,2}:2,1|2,4;reduction=max", "4,4|int64{0,2,1,1}:2,2|2"},
	"Slice":                 {"4,5|int64{0,1}:2|int64{3,9}:2|int64{0,1}:2|int64{1,2}:2", "4,5|int64{-1}:1|int64{-9}:1|int64{1}:1|int64{-2}:1", "4,5;starts=0,1;ends=3,4"},
	"Pad":                   {"3,4|int64{1,2,-1,2}:4", "3,4|int64{1,2,3,2}:4;mode=reflect", "3,4|int64{5,-2}:2||int64{1}:1;mode=wrap", "3,4|int64{5,0,1,1}:4;mode=edge", "3,4;pads=0,1,2,1"},
	"CenterCropPad":         {"3,4|int64{5,2}:2", "3,4|int64{7}:1;axes=1"},
	"OneHot":                {"int64{0,2,1}:3|int64{4}:.|float32{0,1}:2", "int64{0,2,1}:3|int64{4}:1|2;axis=0"},
	"TopK":                  {"3,5|int64{2}:1", "3,5|int64{2}:1;axis=0;largest=0", "3,5;k=2"},
	"Compress":              {"3,4|bool{1,0,1}:3", "3,4|bool{1,0,1}:3;axis=1"},
	"ReverseSequence":       {"4,2,3|int64{4,1}:2", "2,4|int64{4,0}:2;batch_axis=0;time_axis=1"},
	"Resize": {"1,2,3,3||float32{1,1,2,2}:4", "1,2,3,3|||int64{1,2,5,2}:4;mode=linear", "1,2,6,6||float32{1,1,0.6,0.5}:4;mode=cubic;antialias=1", "1,2,3,3|float32{1,1,2,2}:4",
		"1,2,3,3|float32{0,0,0.2,0.2,1,1,1.5,0.9}:8||int64{1,2,4,4}:4;coordinate_transformation_mode=tf_crop_and_resize;mode=linear", "1,2,6,6||float32{1,1,0.6,0.5}:4;mode=linear;antialias=1", "1,2,7,5|||int64{1,2,3,2}:4;mode=linear;antialias=1", "1,2,4,5|||int64{7,7}:2;axes=2,3;keep_aspect_ratio_policy=not_larger"},
	"Upsample":                               {"1,2,3,3|float32{1,1,2,2}:4", "1,2,3,3;scales=1,1,2,1.5;mode=linear", "N,C,3,3|float32{1,1,3,2}:4", "N,C,3,4;scales=1,1,3,2", "N,C,3,4|float32{1,1,2,3}:4;mode=nearest"},
	"DepthToSpace":                           {"1,8,2,3;blocksize=2", "1,8,2,3;blocksize=2;mode=CRD"},
	"SpaceToDepth":                           {"1,2,4,6;blocksize=2"},
	"Col2Im":                                 {"1,5,5|int64{5,5}:2|int64{1,5}:2", "2,8,4|int64{4,4}:2|int64{2,2}:2;strides=2,2"},
	"AffineGrid":                             {"1,2,3|int64{1,1,3,4}:4", "2,3,4|int64{2,1,2,3,2}:5;align_corners=1"},
	"Tile":                                   {"2,3|int64{2,1}:2"},
	"Reshape":                                {"2,6|int64{3,-1}:2", "2,6|int64{0,2,3}:3", "2,6;shape=12"},
	"Expand":                                 {"3,1|int64{2,1,4}:3"},
	"Squeeze":                                {"1,3,1|int64{0}:1", "1,3,1;axes=0,2"},
	"Unsqueeze":                              {"3|int64{0,2}:2", "3;axes=0"},
	"CumSum":                                 {"3,4|int64{1}:.;exclusive=1"},
	"Range":                                  {"float32{0}:.|float32{3}:.|float32{0.5}:.", "int64{5}:.|int64{0}:.|int64{-2}:."},
	"RNN":                                    {"3,2,4|1,5,4|1,5,5|1,10;hidden_size=5"},
	"GRU":                                    {"3,2,4|1,15,4|1,15,5|1,30;hidden_size=5"},
	"LSTM":                                   {"3,2,4|1,20,4|1,20,5|1,40;hidden_size=5"},
	"GridSample":                             {"1,2,4,4|1,3,3,2", "1,2,4,4|1,3,3,2;padding_mode=reflection"},
	"Attention":                              {"B,4,3,6|B,2,5,6|B,2,5,3", "B,3,8|B,5,8|B,5,4;q_num_heads=2;kv_num_heads=2;is_causal=1", "B,2,3,4|B,2,5,4|B,2,5,4|3,7|B,2,2,4|B,2,2,4;softcap=0.5"},
	"RotaryEmbedding":                        {"1,2,3,4|5,2|5,2|int64{0,4,2}:1,3", "1,3,8|1,3,2|1,3,2;num_heads=2;interleaved=1"},
	"TensorScatter":                          {"2,2,4,3|2,2,2,3|int64{0,2}:2", "2,4|2,2|int64{3,1}:2;axis=1;mode=circular"},
	"DeformConv":                             {"1,2,4,4|2,2,2,2|1,8,3,3|2", "1,4,3|2,2,1|1,2,3|2|1,2,3;group=2;offset_group=2"},
	"TfIdfVectorizer":                        {"int64{1,2,3,1}:4;max_gram_length=2;min_gram_length=1;max_skip_count=1;mode=TF;ngram_counts=0,2;ngram_indexes=0,1,2;pool_int64s=1,2,1,2"},
	"com.microsoft:QLinearAdd":               {"3,4|.|.|4|.|.|.|."},
	"com.microsoft:QLinearMul":               {"3,4|.|.|4|.|.|.|."},
	"com.microsoft:QLinearConcat":            {"float32{0.5}:.|uint8{3}:.|uint8{1,2,3,4,5,250}:2,3|float32{0.25}:.|uint8{2}:.|uint8{7,9}:2,1|float32{0.75}:.|uint8{0}:.;axis=1", "float32{0.5}:.|int8{3}:.|int8{1,-2,3}:3|float32{0.25}:.|int8{-2}:.;axis=0"},
	"com.microsoft:QLinearAveragePool":       {"1,2,5,5|.|.|.|.;kernel_shape=2,2;strides=2,2", "1,2,5|.|.|.|.;kernel_shape=3;pads=1,1"},
	"com.microsoft:QuantizeLinear":           {"3,4|.|.", "3,4|4|4;axis=1"},
	"com.microsoft:DequantizeLinear":         {"3,4|.|.", "3,4|3|3;axis=0"},
	"com.microsoft:QLinearWhere":             {"3,4|3,4|.|.|4|.|.|.|."},
	"com.microsoft:QLinearSoftmax":           {"3,4|.|.|.|.;opset=13", "2,3,2|.|.|.|.;opset=11;axis=1", "3,4|.|.|.|.;opset=13;axis=0"},
	"com.microsoft:QLinearSigmoid":           {"3,4|.|.|.|."},
	"com.microsoft:QLinearLeakyRelu":         {"3,4|.|.|.|.;alpha=0.1"},
	"com.microsoft:QLinearReduceMean":        {"2,3,4|.|.|.|.;axes=1,2;keepdims=1", "2,3,4|.|.|.|.;axes=-1;keepdims=0"},
	"com.microsoft:QLinearGlobalAveragePool": {"N,C,5,5|.|.|.|.", "N,5,4,C|.|.|.|.;channels_last=1"},
	"com.microsoft:QLinearConv":              {"N,C,5,5|.|.|M,C,3,3|.|.|.|.|M", "N,5,5,C|.|.|M,C,3,3|M|M|.|.|M;channels_last=1", "N,4,C|.|.|M,C,2|.|.|.|.;channels_last=1"},
	"com.microsoft:FusedConv":                {"N,C,5,5|M,C,3,3|M|N,M,3,3;activation=Relu", "N,C,5,5|M,C,3,3|M;activation=LeakyRelu;activation_params=0.3", "N,C,4,4|M,C,3,3;activation=Clip;activation_params=-1,2", "N,C,6|M,C,2|M;activation=HardSigmoid;activation_params=0.2,0.5", "N,C,5,5|M,C,3,3||N,M,3,3;activation=Tanh", "N,4,4,4|6,2,3,3;group=2;activation=Sigmoid"},
	"com.microsoft:NhwcConv":                 {"N,5,5,C|M,C,3,3|M", "N,6,C|M,C,2|M;strides=2"},
	"com.microsoft:NhwcFusedConv":            {"N,5,5,C|M,C,3,3|M|N,3,3,M;activation=Relu", "N,4,5,C|M,C,2,2;activation=LeakyRelu;activation_params=0.1"},
	"com.microsoft:NhwcMaxPool":              {"N,5,5,C;kernel_shape=2,2;strides=2,2", "N,5,4,C;kernel_shape=3,3;pads=1,1,1,1;dilations=2,2"},
	"com.microsoft:ConvTransposeWithDynamicPads": {"N,C,3,3|C,M,2,2|int64{0,1,0,1}:4|M", "N,C,3,3|C,M,3,3|int64{1,1,1,1}:4|;strides=2,2"},
	"com.microsoft:FusedGemm":                    {"M,K|K,N|N;activation=Relu", "K,M|N,K|M,1;transA=1;transB=1;alpha=0.5;activation=LeakyRelu;activation_alpha=0.3"},
	"com.microsoft:FusedMatMulActivation":        {"B,M,K|K,N;activation=Relu"},
	"com.microsoft:FusedMatMul":                  {"B,M,K|B,K,N", "B,K,M|B,N,K;transA=1;transB=1;alpha=0.5", "M,B,K|B,K,N;transBatchA=1", "K,B,M|N,B,K;transBatchA=1;transA=1;transBatchB=1;transB=1"},
	"com.microsoft:QGemm":                        {"M,K|.|.|K,N|.|.|M,N|.|.", "M,K|.|.|K,N|N|N", "K,M|.|.|N,K|.|.|N;transA=1;transB=1;alpha=0.5"},
	"com.microsoft:MatMulIntegerToFloat":         {"M,K|K,N|.|.|.|.|N", "B,M,K|K,N|.|N||N"},
	"com.microsoft:DynamicQuantizeMatMul":        {"M,K|K,N|.|.|N", "B,M,K|K,N|N|N"},
	"com.microsoft:MatMulNBits": {"M,20|3,2,8|6;K=20;N=3;bits=4;block_size=16", "B,M,32|3,1,16|3,1|3,1;K=32;N=3;bits=4;block_size=32", "M,32|3,2,16|3,2|3,2;K=32;N=3;bits=8;block_size=16", "M,64|2,2,8|2,2|2,1;K=64;N=2;bits=2;block_size=32", "M,48|2,3,8|2,3|2,2||2;K=48;N=2;bits=4;block_size=16",
		"M,32|2,2,8|2,2||int32{1,0,1,0,0,1,1,0,1,0,1,0,0,1,1,0,1,0,1,0,0,1,1,0,1,0,1,0,0,1,1,0}:32;K=32;N=2;bits=4;block_size=16", "M,48|2,3,16|2,3|2,3||2;K=48;N=2;bits=8;block_size=16"},
	"com.microsoft:SkipLayerNormalization":           {"B,S,H|B,S,H|H|H|H", "B,S,H|S,H|H", "B,S,H|1,S,H|H|H", "S,H|S,H|H|H"},
	"com.microsoft:SkipSimplifiedLayerNormalization": {"B,S,H|B,S,H|H|H", "B,S,H|S,H|H", "S,H|S,H|H"},
	"com.microsoft:EmbedLayerNormalization":          {"int32{0,2,1,1}:2,2|int32{0,1,1,0}:2,2|3,H|4,H|2,H|H|H|int32{1,0,1,1}:2,2", "int32{0,2,1,1}:2,2||3,H|4,H||H|H", "int32{0,2,1,1}:2,2||3,H|4,H||H|H||int32{1,0}:1,2"},
	"com.microsoft:BiasAdd":                          {"N,S,C|C|N,S,C"},
	"com.microsoft:BiasSplitGelu":                    {"N,S,6|6"},
	"com.microsoft:BiasSoftmax":                      {"B,2,3,4|B,1,1,4;axis=3;is_inner_broadcast=1", "B,2,3,4|3,4;axis=3;is_inner_broadcast=0"},
	"com.microsoft:BiasDropout":                      {"N,S,C|C|N,S,C", "N,C|N,C"},
	"com.microsoft:Attention": {"B,S,4|4,12|12;num_heads=2", "2,3,4|4,12|12|int32{2,3}:2;num_heads=2", "2,3,4|4,12|12|int32{1,1,0,1,0,0}:2,3;num_heads=2;unidirectional=1", "2,3,4|4,12|12|int32{3,2,1,0}:4;num_heads=2", "1,2,4|4,12|12|int32{1,0,1,1}:1,2,2;num_heads=1",
		"2,2,4|4,12|12||2,2,2,3,2;num_heads=2;unidirectional=1", "B,S,4|4,14|14;num_heads=2;qkv_hidden_sizes=4,4,6", "2,3,4|4,12|12|||2,2,3,3;num_heads=2;unidirectional=1;scale=0.5"},
	"com.microsoft:MultiHeadAttention": {"B,S,4|B,L,4|B,L,4;num_heads=2", "B,S,4|B,L,4|B,L,6|14;num_heads=2", "B,S,2,3,2;num_heads=2", "B,S,4|B,L,2,2,2;num_heads=2", "B,S,4|B,2,L,2|B,2,L,3;num_heads=2", "2,S,4|2,3,4|2,3,4||int32{1,1,0,1,0,1}:2,3;num_heads=2",
		"B,S,4|B,L,4|B,L,4|||1,2,S,L;num_heads=2;scale=0.3", "B,S,4|B,S,4|B,S,4||||B,2,3,2|B,2,3,2;num_heads=2;unidirectional=1"},
	"com.microsoft:GroupQueryAttention": {"1,3,16|1,3,8|1,3,8|||int32{2}:1|int32{3}:.;num_heads=2;kv_num_heads=1", "1,1,16|1,1,8|1,1,8|1,1,4,8|1,1,4,8|int32{4}:1|int32{5}:.;num_heads=2;kv_num_heads=1;softcap=0.5",
		"1,1,16|1,1,8|1,1,8|1,1,4,8|1,1,4,8|int32{4}:1|int32{5}:.|8,4|8,4;num_heads=2;kv_num_heads=1;do_rotary=1", "2,1,16|2,1,8|2,1,8|2,1,4,8|2,1,4,8|int32{4,2}:2|int32{5}:.;num_heads=2;kv_num_heads=1;local_window_size=2",
		"1,3,32|||||int32{2}:1|int32{3}:.;num_heads=2;kv_num_heads=1", "2,3,16|2,3,8|2,3,8|||int32{2,2}:2|int32{3}:.|8,4|8,4;num_heads=2;kv_num_heads=1;do_rotary=1;rotary_interleaved=1"},
	"com.microsoft:QAttention":         {"B,S,4|4,12|12|.|.||.|.;num_heads=2", "B,S,4|4,12|12|.|12||.|12;num_heads=2;unidirectional=1", "2,3,4|4,12|12|.|.|int32{2,3}:2|.|.;num_heads=2"},
	"com.microsoft:RotaryEmbedding":    {"B,S,8|int64{1}:1|9,2|9,2", "2,2,3,4|int64{0,1,2,3,4,5}:2,3|9,2|9,2;interleaved=1", "B,S,12|int64{0}:1|9,2|9,2;num_heads=2;rotary_embedding_dim=4"},
	"com.microsoft:CropAndResize":      {"2,C,5,6|float32{0,0,1,1,0.1,0.2,0.7,0.9}:2,4|int32{1,0}:2|int32{3,4}:2", "2,C,5,6|float32{0.1,0.2,0.7,0.9}:1,4|int32{1}:1|int32{1,2}:2;mode=nearest"},
	"com.microsoft:Inverse":            {"float32{2,1,0,3,1,0.5,1,0,4}:3,3", "float64{1,2,3,4,0,1,-1,2}:2,2,2"},
	"com.microsoft:UnfoldTensor":       {"3,6;dim=1;size=2;step=2", "5;size=3"},
	"com.microsoft:Pad":                {"3,4|int64{1,2,-1,2}:4", "3,4|int64{1,2,3,2}:4;mode=reflect", "3,4|int64{5,0,1,1}:4|.;mode=edge"},
	"com.microsoft:GatherND":           {"2,3,4|int64{0,1,1,2}:2,2"},
	"com.microsoft:Range":              {"float32{0}:.|float32{3}:.|float32{0.5}:.", "int64{0}:.|int64{5}:."},
	"com.microsoft:ExpandDims":         {"2,3|int32{1}:.", "2,3|int32{-1}:."},
	"com.microsoft:TorchEmbedding":     {"4,3|int64{0,2,1}:3"},
	"com.microsoft:GridSample":         {"1,2,4,4|1,3,3,2", "1,2,4,4|1,3,3,2;padding_mode=reflection;mode=bicubic"},
	"com.microsoft:CDist":              {"M,N|K,N", "M,N|K,N;metric=euclidean"},
	"ai.onnx.ml:Scaler":                {"N,3;offset=1,2,3;scale=0.5,-1,2", "3;offset=1,2,3;scale=0.5,-1,2", "N,C;offset=1;scale=0.5"},
	"ai.onnx.ml:Normalizer":            {"N,C;norm=MAX", "N,C;norm=L1", "N,C;norm=L2", "C;norm=L2"},
	"ai.onnx.ml:Binarizer":             {"N,C;threshold=0.5", "N,C"},
	"ai.onnx.ml:ArrayFeatureExtractor": {"N,3|int64{2,0}:2", "B,N,3|int64{1}:1", "3|int64{2,0,0}:3"},
	"ai.onnx.ml:LinearRegressor":       {"N,3;coefficients=1,-2,0.5;intercepts=0.25", "N,2;coefficients=1,-2,0.5,3;intercepts=0.25,1;targets=2;post_transform=LOGISTIC", "N,2;coefficients=1,-2,0.5,3;targets=2;post_transform=SOFTMAX", "N,2;coefficients=1,-2,0.5,3;targets=2;post_transform=SOFTMAX_ZERO"},
	"ai.onnx.ml:FeatureVectorizer":     {"N,3|N,C;inputdimensions=3,2", "N,3|N,2|N,4;inputdimensions=3,2,4", "3|2;inputdimensions=3,4", "N,4|N,2"},
	"STFT":                             {"1,16,1|int64{4}:.|8|int64{8}:."},
	"DFT":                              {"1,8,1|int64{8}:."},
	"MelWeightMatrix":                  {"int64{4}:.|int64{16}:.|int64{8000}:.|float32{0}:.|float32{4000}:."},
	"QuantizeLinear":                   {"3,4|.|.", "3,4|4|4;axis=1"},
	"DequantizeLinear":                 {"3,4|.|.", "3,4|3|3;axis=0"},
	"Einsum":                           {"2,3|3,4;equation=ij,jk->ik"},
	"NonMaxSuppression":                {"float32{0,0,1,1,0,0,2,2}:1,2,4|1,1,2|int64{3}:1|float32{0.5}:1|float32{0}:1"},
	"NegativeLogLikelihoodLoss":        {"3,5,2|int64{0,1,2,3,4,0}:3,2|5", "3,5|int64{0,4,2}:3", "3,5,2|int64{0,1,2,3,4,0}:3,2;reduction=sum"},
	"SoftmaxCrossEntropyLoss":          {"3,5,2|int64{0,1,2,3,4,0}:3,2|5", "3,5|int64{0,4,2}:3", "3,5,2|int64{0,1,2,3,4,0}:3,2;reduction=none"},
}

// hinted makes inputs and attributes of a hint of def; false where there is none.
func (d *draw) hinted(def *Def, x *example) bool {
	name := def.Name
	if def.Domain != "" {
		name = def.Domain + ":" + name
	}
	if fill := filled[name]; fill != nil {
		fill(d, x)
		for range pickOf(d, 0, 0, 0, 1, 1, 2) {
			d.change(def, x)
		}
		return true
	}
	list := hints[name]
	if len(list) == 0 {
		return false
	}
	parts := strings.Split(pickOf(d, list...), ";")
	sizes, bound := map[string]int{}, map[string]model.DType{}
	for i, in := range strings.Split(parts[0], "|") {
		if in == "" {
			x.node.Inputs = append(x.node.Inputs, "")
			continue
		}
		p := port(def.In, i)
		dt, ok := bound[p.Type]
		if !ok {
			dt = d.dtype(def, p)
			bound[p.Type] = dt
		}
		var t *model.Tensor
		if strings.Contains(in, "{") {
			t = d.literal(in, sizes)
		} else {
			t = d.valueFor(p, dt, d.sized(in, sizes))
		}
		d.give(x, fmt.Sprintf("x%d_0", i), t)
	}
	for _, a := range parts[1:] {
		k, v, _ := strings.Cut(a, "=")
		for _, s := range def.Attrs {
			if s.Name == k {
				x.node.Attrs = append(x.node.Attrs, d.parsed(s, v))
			}
		}
	}
	for range pickOf(d, 0, 0, 0, 1, 1, 2) {
		d.change(def, x)
	}
	return true
}

// literal makes a tensor of dtype{values}:dimensions.
func (d *draw) literal(s string, sizes map[string]int) *model.Tensor {
	kind, rest, _ := strings.Cut(s, "{")
	dt, _ := model.ParseDType(kind)
	values, dims, _ := strings.Cut(rest, "}:")
	t := model.NewTensor(dt, d.sized(dims, sizes)...)
	for k, v := range strings.Split(values, ",") {
		if dt == model.String {
			t.Strs[k] = v
			continue
		}
		f, _ := strconv.ParseFloat(v, 64)
		t.SetFloat64(k, f)
	}
	return t
}

func (d *draw) sized(dims string, sizes map[string]int) []int {
	out := []int{}
	if dims == "." {
		return out
	}
	for _, s := range strings.Split(dims, ",") {
		n, err := strconv.Atoi(s)
		if err != nil {
			if n = sizes[s]; n == 0 {
				n = 1 + d.n(4)
				sizes[s] = n
			}
		}
		out = append(out, n)
	}
	return out
}

func (d *draw) parsed(s AttrSpec, v string) model.Attr {
	a := model.Attr{Name: s.Name, Type: s.Type}
	var ints []int64
	var floats []float32
	for _, e := range strings.Split(v, ",") {
		f, _ := strconv.ParseFloat(e, 64)
		ints, floats = append(ints, int64(f)), append(floats, float32(f))
	}
	switch s.Type {
	case model.AttrInt:
		a.I = ints[0]
	case model.AttrFloat:
		a.F = floats[0]
	case model.AttrString:
		a.S = []byte(v)
	case model.AttrInts:
		a.Ints = ints
	case model.AttrFloats:
		a.Floats = floats
	case model.AttrStrings:
		for _, e := range strings.Split(v, ",") {
			a.Strings = append(a.Strings, []byte(e))
		}
	case model.AttrTensor:
		a.T = d.literal(v, map[string]int{})
	}
	return a
}

// change spoils one thing, or puts another in its place that is right too.
func (d *draw) change(def *Def, x *example) {
	i := d.n(max(1, len(x.node.Inputs)))
	name := ""
	if i < len(x.node.Inputs) {
		name = x.node.Inputs[i]
	}
	switch t := x.inputs[name]; {
	case t != nil && d.in(15):
		x.set(name, d.value(t.DType, d.dims(d.n(6))))
	case t != nil && d.in(20):
		dims := append([]int{}, t.Shape...)
		if len(dims) > 0 {
			dims[d.n(len(dims))] = pickOf(d, 0, 1, 2, 3, 6)
		}
		x.set(name, d.value(t.DType, dims))
	case t != nil && d.in(15):
		x.set(name, d.value(t.DType, t.Shape))
	case t != nil && d.in(10):
		x.set(name, d.value(d.dtype(def, port(def.In, i)), t.Shape))
	case t != nil && d.in(10):
		x.node.Inputs[i] = ""
	case len(def.Attrs) > 0:
		s := pickOf(d, def.Attrs...)
		for k := range x.node.Attrs {
			if x.node.Attrs[k].Name == s.Name {
				x.node.Attrs[k] = d.attr(s)
				return
			}
		}
		x.node.Attrs = append(x.node.Attrs, d.attr(s))
	}
}

func (x *example) set(name string, t *model.Tensor) {
	x.inputs[name] = t
	for i := range x.m.Graph.Inputs {
		if x.m.Graph.Inputs[i].Name == name {
			x.m.Graph.Inputs[i].Type = model.TypeOf(t)
		}
	}
}
