// Umbrella header for result files: JSON lines, COCO, YOLO and labelme.
#pragma once

#include <pali/objects/coco.hpp>
#include <pali/objects/coco_file.hpp>
#include <pali/objects/json_lines.hpp>
#include <pali/objects/labelme.hpp>
#include <pali/objects/merge.hpp>
#include <pali/objects/yolo.hpp>
