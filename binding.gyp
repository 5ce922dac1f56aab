# The addon, as node-gyp and prebuildify build it. Sources: native/sources.json, which CMakeLists.txt reads too.
{
  'variables': {
    # 1 builds native_tests_uv beside the addon: npm run build in a clone does, npm run prebuild does not.
    'gammaloop_tests%': 0,
    # 1 turns warnings into errors: CI does.
    'gammaloop_werror%': 0,
    # 1 optimizes across files.
    'gammaloop_lto%': '<!(node scripts/link-time-optimization.mjs <(OS))',
  },
  'target_defaults': {
    'include_dirs': [
      'native',
      '<!(node -p "require(\'node-addon-api\').include_dir")',
    ],
    # Node-API 8 is in every Node from 16 on, so that one binary loads in 20, 22, 24, 26 ...
    # The last: a call that fails since its worker is being terminated ends that worker, not the process.
    'defines': ['NAPI_VERSION=8', 'NODE_ADDON_API_DISABLE_CPP_EXCEPTIONS', 'NODE_ADDON_API_DISABLE_DEPRECATED',
                'NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS'],
    # Node's common.gypi brings its own standard, which differs from version to version.
    'cflags_cc!': ['-std=gnu++14', '-std=gnu++1y', '-std=gnu++17', '-std=gnu++20', '-std=gnu++23'],
    'cflags_cc': ['-std=c++20', '-fno-exceptions', '-fno-rtti', '-fvisibility=hidden', '-fvisibility-inlines-hidden'],
    'cflags': ['-Wall', '-Wextra', '-Wno-unused-parameter', '-fno-plt'],
    'xcode_settings': {
      'CLANG_CXX_LANGUAGE_STANDARD': 'c++20',
      'CLANG_CXX_LIBRARY': 'libc++',
      'GCC_ENABLE_CPP_EXCEPTIONS': 'NO',
      'GCC_ENABLE_CPP_RTTI': 'NO',
      'GCC_OPTIMIZATION_LEVEL': '3',
      'GCC_SYMBOLS_PRIVATE_EXTERN': 'YES',
      'LLVM_LTO': 'YES',
      'MACOSX_DEPLOYMENT_TARGET': '11.0',
      'OTHER_CFLAGS': ['-Wall', '-Wextra', '-Wno-unused-parameter'],
    },
    'conditions': [
      ['gammaloop_lto==1', {
        'cflags': ['-flto=auto'],
        'ldflags': ['-flto=auto', '-O3'],
      }],
      ['gammaloop_werror==1', {
        'cflags': ['-Werror'],
        'xcode_settings': {'GCC_TREAT_WARNINGS_AS_ERRORS': 'YES'},
      }],
    ],
  },
  'targets': [
    {
      'target_name': 'gammaloop',
      'sources': ['<!@(node scripts/native-sources.mjs <(OS))'],
    },
  ],
  'conditions': [
    ['gammaloop_tests==1', {
      'targets': [
        {
          'target_name': 'native_tests_uv',
          'include_dirs': ['test/native'],
          'sources': ['<!@(node scripts/native-sources.mjs uvTests <(OS))'],
        },
      ],
    }],
  ],
}
