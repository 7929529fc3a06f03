# Completion of pali for bash, from its own help.
_pali() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W "detect segment caption ask collect chat generate inspect eval quantize --help --version" -- "$word"))
        return
    fi
    case "${COMP_WORDS[1]}:$before" in
    detect:--variant) COMPREPLY=($(compgen -W "dynamic paligemma-3b-224 paligemma-3b-448 paligemma-3b-896 paligemma2-3b-224 paligemma2-3b-448 paligemma2-3b-896 paligemma2-10b-224 paligemma2-10b-448 paligemma2-10b-896 paligemma2-28b-224 paligemma2-28b-448 paligemma2-28b-896 shapes" -- "$word")); return ;;
    detect:--weights) COMPREPLY=($(compgen -W "f32 bf16 int8 int4" -- "$word")); return ;;
    detect:--residency) COMPREPLY=($(compgen -W "mapped resident" -- "$word")); return ;;
    detect:--kv-cache) COMPREPLY=($(compgen -W "f32 bf16" -- "$word")); return ;;
    detect:--format) COMPREPLY=($(compgen -W "json coco yolo labelme" -- "$word")); return ;;
    detect:--coco-masks) COMPREPLY=($(compgen -W "auto polygons rle" -- "$word")); return ;;
    detect:--loc-divisor) COMPREPLY=($(compgen -W "1024 1023" -- "$word")); return ;;
    segment:--variant) COMPREPLY=($(compgen -W "dynamic paligemma-3b-224 paligemma-3b-448 paligemma-3b-896 paligemma2-3b-224 paligemma2-3b-448 paligemma2-3b-896 paligemma2-10b-224 paligemma2-10b-448 paligemma2-10b-896 paligemma2-28b-224 paligemma2-28b-448 paligemma2-28b-896 shapes" -- "$word")); return ;;
    segment:--weights) COMPREPLY=($(compgen -W "f32 bf16 int8 int4" -- "$word")); return ;;
    segment:--residency) COMPREPLY=($(compgen -W "mapped resident" -- "$word")); return ;;
    segment:--kv-cache) COMPREPLY=($(compgen -W "f32 bf16" -- "$word")); return ;;
    segment:--format) COMPREPLY=($(compgen -W "json coco yolo labelme" -- "$word")); return ;;
    segment:--coco-masks) COMPREPLY=($(compgen -W "auto polygons rle" -- "$word")); return ;;
    segment:--loc-divisor) COMPREPLY=($(compgen -W "1024 1023" -- "$word")); return ;;
    segment:--masks) COMPREPLY=($(compgen -W "hard soft" -- "$word")); return ;;
    caption:--variant) COMPREPLY=($(compgen -W "dynamic paligemma-3b-224 paligemma-3b-448 paligemma-3b-896 paligemma2-3b-224 paligemma2-3b-448 paligemma2-3b-896 paligemma2-10b-224 paligemma2-10b-448 paligemma2-10b-896 paligemma2-28b-224 paligemma2-28b-448 paligemma2-28b-896 shapes" -- "$word")); return ;;
    caption:--weights) COMPREPLY=($(compgen -W "f32 bf16 int8 int4" -- "$word")); return ;;
    caption:--residency) COMPREPLY=($(compgen -W "mapped resident" -- "$word")); return ;;
    caption:--kv-cache) COMPREPLY=($(compgen -W "f32 bf16" -- "$word")); return ;;
    ask:--variant) COMPREPLY=($(compgen -W "dynamic paligemma-3b-224 paligemma-3b-448 paligemma-3b-896 paligemma2-3b-224 paligemma2-3b-448 paligemma2-3b-896 paligemma2-10b-224 paligemma2-10b-448 paligemma2-10b-896 paligemma2-28b-224 paligemma2-28b-448 paligemma2-28b-896 shapes" -- "$word")); return ;;
    ask:--weights) COMPREPLY=($(compgen -W "f32 bf16 int8 int4" -- "$word")); return ;;
    ask:--residency) COMPREPLY=($(compgen -W "mapped resident" -- "$word")); return ;;
    ask:--kv-cache) COMPREPLY=($(compgen -W "f32 bf16" -- "$word")); return ;;
    collect:--format) COMPREPLY=($(compgen -W "json coco yolo labelme" -- "$word")); return ;;
    collect:--coco-masks) COMPREPLY=($(compgen -W "auto polygons rle" -- "$word")); return ;;
    chat:--variant) COMPREPLY=($(compgen -W "dynamic paligemma-3b-224 paligemma-3b-448 paligemma-3b-896 paligemma2-3b-224 paligemma2-3b-448 paligemma2-3b-896 paligemma2-10b-224 paligemma2-10b-448 paligemma2-10b-896 paligemma2-28b-224 paligemma2-28b-448 paligemma2-28b-896 shapes" -- "$word")); return ;;
    chat:--weights) COMPREPLY=($(compgen -W "f32 bf16 int8 int4" -- "$word")); return ;;
    chat:--residency) COMPREPLY=($(compgen -W "mapped resident" -- "$word")); return ;;
    chat:--kv-cache) COMPREPLY=($(compgen -W "f32 bf16" -- "$word")); return ;;
    chat:--model_type) COMPREPLY=($(compgen -W "paligemma paligemma2" -- "$word")); return ;;
    generate:--variant) COMPREPLY=($(compgen -W "dynamic paligemma-3b-224 paligemma-3b-448 paligemma-3b-896 paligemma2-3b-224 paligemma2-3b-448 paligemma2-3b-896 paligemma2-10b-224 paligemma2-10b-448 paligemma2-10b-896 paligemma2-28b-224 paligemma2-28b-448 paligemma2-28b-896 shapes" -- "$word")); return ;;
    generate:--weights) COMPREPLY=($(compgen -W "f32 bf16 int8 int4" -- "$word")); return ;;
    generate:--residency) COMPREPLY=($(compgen -W "mapped resident" -- "$word")); return ;;
    generate:--kv-cache) COMPREPLY=($(compgen -W "f32 bf16" -- "$word")); return ;;
    eval:--variant) COMPREPLY=($(compgen -W "dynamic paligemma-3b-224 paligemma-3b-448 paligemma-3b-896 paligemma2-3b-224 paligemma2-3b-448 paligemma2-3b-896 paligemma2-10b-224 paligemma2-10b-448 paligemma2-10b-896 paligemma2-28b-224 paligemma2-28b-448 paligemma2-28b-896 shapes" -- "$word")); return ;;
    eval:--weights) COMPREPLY=($(compgen -W "f32 bf16 int8 int4" -- "$word")); return ;;
    eval:--residency) COMPREPLY=($(compgen -W "mapped resident" -- "$word")); return ;;
    eval:--kv-cache) COMPREPLY=($(compgen -W "f32 bf16" -- "$word")); return ;;
    quantize:--weights) COMPREPLY=($(compgen -W "int8 int4" -- "$word")); return ;;
    esac
    [[ $word == -* ]] || return 0
    case "${COMP_WORDS[1]}" in
    detect) COMPREPLY=($(compgen -W "-h --help -m --model --variant --weights --residency --strict --threads --pin-threads --kv-cache -i --image --recursive --keep-exif-orientation --max-side --max-pixels -p --prompt -o --out --overwrite --shard --json --batch --format --coco-masks --draw --constrained --merge --loc-divisor --max-tokens --min-tokens --temperature --top-k --top-p --min-p --typical-p --repetition-penalty --seed --num-beams --length-penalty --early-stopping" -- "$word")) ;;
    segment) COMPREPLY=($(compgen -W "-h --help -m --model --variant --weights --residency --strict --threads --pin-threads --kv-cache -i --image --recursive --keep-exif-orientation --max-side --max-pixels -p --prompt -o --out --overwrite --shard --json --batch --format --coco-masks --draw --constrained --merge --loc-divisor --masks --mask-decoder --max-tokens --min-tokens --temperature --top-k --top-p --min-p --typical-p --repetition-penalty --seed --num-beams --length-penalty --early-stopping" -- "$word")) ;;
    caption) COMPREPLY=($(compgen -W "-h --help -m --model --variant --weights --residency --strict --threads --pin-threads --kv-cache -i --image --recursive --keep-exif-orientation --max-side --max-pixels -p --prompt --language -o --out --overwrite --shard --json --batch --max-tokens --min-tokens --temperature --top-k --top-p --min-p --typical-p --repetition-penalty --seed --num-beams --length-penalty --early-stopping" -- "$word")) ;;
    ask) COMPREPLY=($(compgen -W "-h --help -m --model --variant --weights --residency --strict --threads --pin-threads --kv-cache -i --image --recursive --keep-exif-orientation --max-side --max-pixels -p --prompt --language -o --out --overwrite --shard --json --batch --max-tokens --min-tokens --temperature --top-k --top-p --min-p --typical-p --repetition-penalty --seed --num-beams --length-penalty --early-stopping" -- "$word")) ;;
    collect) COMPREPLY=($(compgen -W "-h --help -o --out --format --coco-masks --overwrite" -- "$word")) ;;
    chat) COMPREPLY=($(compgen -W "-h --help -m --model --variant --weights --residency --strict --threads --pin-threads --kv-cache --model_path --model_type --prompt --detection -i --image --image_file_path --keep-exif-orientation --max-side --max-pixels --max-tokens --max_tokens_to_generate --temperature --top_p --top-p --do_sample --seed --only_cpu" -- "$word")) ;;
    generate) COMPREPLY=($(compgen -W "-h --help -m --model --variant --weights --residency --strict --threads --pin-threads --kv-cache -i --image --keep-exif-orientation --max-side --max-pixels -p --prompt --max-tokens --min-tokens --temperature --top-k --top-p --min-p --typical-p --repetition-penalty --seed --num-beams --length-penalty --early-stopping --json -v --verbose" -- "$word")) ;;
    inspect) COMPREPLY=($(compgen -W "-h --help --numbers --arch -m --model" -- "$word")) ;;
    eval) COMPREPLY=($(compgen -W "-h --help -m --model --variant --weights --residency --strict --threads --pin-threads --kv-cache --constrained --perplexity --json" -- "$word")) ;;
    quantize) COMPREPLY=($(compgen -W "-h --help --weights --overwrite -t --threads" -- "$word")) ;;
    esac
}
complete -o default -F _pali pali
